"""What a client may do in which channel.

Asked in this order, the first answer counts:

1. A channel of another tenant: no. Nothing below is looked at. `$mesh`, which belongs to nobody: to a tenant's clients
   only as its admins, by a permission that names it (`join:$mesh:*`), or where `bus.auth.tenants_hear_mesh` is set,
   because what it tells is of all: nodes, clusters, operators' events.
2. The identity's own permissions, the last that matches: `publish:plant:*` allows, `-join:secret:*` forbids. A token
   for one purpose begins with `-*:*`, which forbids everything that the rest of its list does not allow.
3. An admin: yes.
4. The first rule of `bus.auth.rooms` that matches the channel: the least role for each action (its permission flags).
   `granted` there means: only by 2 or 3.
5. No rule: guests read (join, history, presence), users also publish and create, admins delete.

Channels are matched as clients name them, without the tenant; a pattern means any run of characters by `*`.

Private messages go past all channels: `private:PATTERN` is matched against what the message is addressed to, a client's
id or an alias. Where no permission matches, users may send them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol, TypeAlias

from arqonmesh.core.bus.identity import RANKS, Identity
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import outside, tenant_of
from arqonmesh.core.glob import matches

Action: TypeAlias = Literal["join", "publish", "history", "presence", "create", "delete"]

ACTIONS: Final = ("join", "publish", "history", "presence", "create", "delete")
"""In channels; rules are about these."""
PRIVATE: Final = "private"
"""To send private messages."""
MESH: Final = "$mesh:state"
"""The one channel that belongs to nobody (mesh_room.NAME, which would be a circular import)."""
PERMISSIONS_MAX: Final = 64
PERMISSION_CHARS_MAX: Final = 256
_REMEMBERED_MAX: Final = 16_384
"""Channels whose rule is remembered; their names come from clients, so their number has to end somewhere."""


class Flags(Protocol):
    """The least role per action in some channels; `config.model.RoomRule` fits."""

    @property
    def rooms(self) -> tuple[str, ...]: ...
    @property
    def join(self) -> str: ...
    @property
    def publish(self) -> str: ...
    @property
    def history(self) -> str: ...
    @property
    def presence(self) -> str: ...
    @property
    def create(self) -> str: ...
    @property
    def delete(self) -> str: ...


class _Public:
    """Where no rule matches."""

    rooms: tuple[str, ...] = ("*",)
    join = history = presence = "guest"
    publish = create = "user"
    delete = "admin"


PUBLIC: Final[Flags] = _Public()


class Permissions:
    """The rules of one node, in their order."""

    def __init__(self, rules: Sequence[Flags] = (), *, tenants_hear_mesh: bool = False) -> None:
        self._rules = tuple(rules)
        self._tenants_hear_mesh = tenants_hear_mesh
        self._remembered: dict[str, Flags] = {}

    def adopt(self, rules: Sequence[Flags], *, tenants_hear_mesh: bool = False) -> None:
        """Other rules from now on; who is in a channel stays in it."""
        self._rules = tuple(rules)
        self._tenants_hear_mesh = tenants_hear_mesh
        self._remembered.clear()

    def may(self, identity: Identity, action: Action, channel: str) -> bool:
        """Whether this client may do that in `channel`, a name inside (tenants.py)."""
        if tenant_of(channel) != identity.tenant and (not channel.startswith("$") or self._kept_out(identity, action)):
            return False
        name = outside(channel)
        if permission := _deciding(identity, action, name):
            return not permission.startswith("-")
        return identity.role == "admin" or identity.at_least(self.needed(action, name))

    def may_tell(self, identity: Identity, target: str) -> bool:
        """Whether this client may send a private message to `target`, a client's id or an alias."""
        permission = _deciding(identity, PRIVATE, target)
        return not permission.startswith("-") if permission else identity.at_least("user")

    def needed(self, action: Action, name: str) -> str:
        """The least role for this, or `granted`; `name` as clients say it."""
        return str(getattr(self._flags(name), action))

    def unrestricted(self, identity: Identity) -> bool:
        """Whether this client may see every channel of its bus, so that nobody needs to look at each."""
        return not identity.permissions and (not self._rules or identity.role == "admin")

    def may_see(self, identity: Identity, channel: str) -> bool:
        """Whether listings show this channel: it belongs to the client's bus, and something of it may be had."""
        return self.may(identity, "join", channel) or self.may(identity, "history", channel)

    def check_tell(self, identity: Identity, target: str) -> None:
        """Raises Refusal `bus.forbidden` unless the client may send `target` a private message."""
        if self.may_tell(identity, target):
            return
        forbidden = _deciding(identity, PRIVATE, target)
        needs = (
            f"a permission {PRIVATE}:{target[:64]} after its {forbidden}, which forbids it"
            if forbidden
            else "the role user"
        )
        raise Refusal(
            "bus.forbidden",
            f"{identity.subject or 'an anonymous client'} ({identity.role}) may not send a private message to "
            f"{target[:64]!r}; it needs {needs}",
            field="to",
            hint='{"type": "authenticate", "args": {"token": "..."}}',
        )

    def check(self, identity: Identity, action: Action, channel: str) -> None:
        """Raises Refusal `bus.forbidden` unless the client may."""
        if self.may(identity, action, channel):
            return
        name = outside(channel)
        if channel.startswith("$") and identity.tenant and self._kept_out(identity, action):
            raise Refusal(
                "bus.forbidden",
                f"{identity.subject or 'an anonymous client'} of the tenant {identity.tenant} may not {action} {name}, "
                f"which tells of the whole mesh; it needs the role admin, or a permission {action}:{name}",
                field="channel",
                hint="bus.auth.tenants_hear_mesh: true in arqon.yaml lets all clients of tenants hear it",
            )
        needed, needs = self.needed(action, name), f"a permission {action}:{name}"
        if forbidding := _deciding(identity, action, name):
            needs = f"{needs} after its {forbidding}, which forbids it"
        elif needed != "granted":
            needs = f"the role {needed}"
        raise Refusal(
            "bus.forbidden",
            f"{identity.subject or 'an anonymous client'} ({identity.role}) may not {action} {name}; it needs {needs}",
            field="channel",
            hint='{"type": "authenticate", "args": {"token": "..."}}',
        )

    def _kept_out(self, identity: Identity, action: Action) -> bool:
        """Whether this client of a tenant is not to hear of the mesh."""
        if self._tenants_hear_mesh or identity.role == "admin":
            return False
        named = (permission.partition(":") for permission in identity.permissions if ":$" in permission)
        return not any(what in (action, "*") and matches(pattern, MESH) for what, _, pattern in named)

    def _flags(self, name: str) -> Flags:
        known = self._remembered.get(name)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            known = next((rule for rule in self._rules if any(matches(p, name) for p in rule.rooms)), PUBLIC)
            self._remembered[name] = known
        return known


def _deciding(identity: Identity, action: str, name: str) -> str:
    """The last of the identity's own permissions that matches; empty when none does."""
    for permission in reversed(identity.permissions):
        what, _, pattern = permission.removeprefix("-").partition(":")
        if what in (action, "*") and matches(pattern, name):
            return permission
    return ""


def check_role(identity: Identity, role: str, what: str) -> None:
    """Raises Refusal `bus.forbidden` unless the identity's role includes `role`; `what` is the command's name."""
    if RANKS[identity.role] < RANKS[role]:
        raise Refusal(
            "bus.forbidden",
            f"{what} needs the role {role}; {identity.subject or 'this anonymous client'} is {identity.role}",
            field="command",
            hint='{"type": "authenticate", "args": {"token": "..."}}',
        )


def wrong_permission(permissions: Sequence[str]) -> str:
    """What is wrong with a list of permissions, in words; empty when it can be used."""
    if len(permissions) > PERMISSIONS_MAX:
        return f"{len(permissions)} permissions; at most {PERMISSIONS_MAX} are read"
    for permission in permissions:
        what, colon, pattern = permission.removeprefix("-").partition(":")
        if what not in (*ACTIONS, PRIVATE, "*") or not colon or not pattern or len(permission) > PERMISSION_CHARS_MAX:
            known = ", ".join((*ACTIONS, PRIVATE))
            return f"{permission[:80]!r} is no permission; it needs to be ACTION:PATTERN, ACTION one of {known} or *"
    return ""
