"""Tenants: buses beside each other on one node. A tenant's channels carry its name inside, and nowhere else.

    tenant acme, as its clients say it     inside the node, between nodes, in rules and logs
    plant:press                            acme|plant:press
    plant:*                                acme|plant:*
    *                                      acme|*

No client can write `|` in a room or channel (names.py), so none can name another tenant's. Clients without a tenant
are a bus of their own: their names carry no prefix, and their `*` takes no tenant's channel. Frames say the name as
clients know it; the name inside travels beside the frame. The reserved room `$mesh` belongs to nobody.
"""

from __future__ import annotations

import re
from typing import Final

SEPARATOR: Final = "|"
TENANT_FORM: Final = "1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def is_tenant(text: str) -> bool:
    """Whether this can be a tenant's name: `TENANT_FORM`."""
    return _TENANT.fullmatch(text) is not None


def inside(tenant: str, name: str) -> str:
    """A channel or pattern as a client of this tenant names it -> its name inside. `$mesh` stays what it is."""
    return f"{tenant}{SEPARATOR}{name}" if tenant and not name.startswith("$") else name


def outside(name: str) -> str:
    """The name inside -> as the tenant's clients know it."""
    return name[name.find(SEPARATOR) + 1 :]


def tenant_of(name: str) -> str:
    """The tenant that a name inside belongs to; empty for those without one."""
    return name.partition(SEPARATOR)[0] if SEPARATOR in name else ""
