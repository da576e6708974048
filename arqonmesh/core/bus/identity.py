"""Who a client is, as far as the bus is concerned: what its token, key or configuration said at the handshake.

The bridge finds it out (bridge/auth/) and hands it over in `ClientInfo.identity`; it may be replaced while the client
stays connected (`authenticate`). The core only asks `permissions.Permissions.may`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Role: TypeAlias = Literal["guest", "user", "admin"]

RANKS: Final[dict[str, int]] = {"guest": 0, "user": 1, "admin": 2, "granted": 3}
"""A role may do what the lower ones may. `granted` is no role: a flag that only an explicit permission opens."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One authenticated client, or an anonymous one. An admin with a tenant is an admin of that tenant alone."""

    subject: str = ""
    """`sub` of the token, the name of the API key; empty for anonymous clients."""
    role: Role = "user"
    tenant: str = ""
    """Whose bus the client is on (tenants.py); empty: that of those without a tenant."""
    permissions: tuple[str, ...] = ()
    """`ACTION:PATTERN`, or `-ACTION:PATTERN` to forbid; the last that matches decides, before roles and rooms."""
    expires_ms: int = 0
    """Wall clock, milliseconds since 1970, when this ends; 0: never."""
    via: str = "anonymous"
    """What showed it: anonymous, token, jwt, operator, or key:PREFIX."""

    def at_least(self, role: str) -> bool:
        """Whether this role includes that one."""
        return RANKS[self.role] >= RANKS[role]


ANONYMOUS: Final = Identity()
"""Where no authentication is configured: the development default."""


def same_bus(one: Identity, other: Identity) -> bool:
    """Whether these two may know of each other: private messages, presence, listings."""
    return one.tenant == other.tenant
