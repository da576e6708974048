"""API keys: made and revoked by the operator (`arqon bus key`), shown by clients, hashed at rest in bus-keys.db.

    arqk_k3v9x2mq_Zk1...      `arqk_`, 8 characters to find it by, 32 random bytes

A key has 256 random bits, so one SHA-256 is as good at rest as any slow hash: there is nothing to guess. The commands
write to the file (key_file.py) beside a running node, which notices and acts at once: a revoked key's clients are
closed. Keys that were made here are never deleted, so that a bus does not open again when its last key is revoked.

The keys of the cluster's other nodes are here too (`learn`), and these are told to them (`take_changed`); how they
travel is core/bus/cluster/keys.py. What is learned holds at once, and is written when the disk takes it (`save`). Who
uses a key waits for no disk either: the dates are handed over in groups (`take_uses`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from arqonmesh.bridge.auth.key_file import ApiKey, KeyFile
from arqonmesh.bridge.auth.refused import AuthRefused, invalid
from arqonmesh.core.bus.identity import Identity, Role
from arqonmesh.core.bus.permissions import wrong_permission
from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant
from arqonmesh.errors import NotFound, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyRecord

FILE: Final = "bus-keys.db"
MARK: Final = "arqk_"
KEYS_MAX: Final = 10_000
"""Of the whole cluster; a key is not made beyond it."""
NAME_MAX: Final = 64
USED_EVERY_MS: Final = 60_000
"""`last_used` is noted at most so often per key."""
_PREFIX_BYTES: Final = 5


class ApiKeys:
    """The keys of one node. Raises StorageError when the file cannot be used."""

    def __init__(self, path: Path, wall_ms: Callable[[], int]) -> None:
        self.path = path
        self._wall_ms = wall_ms
        self._by_prefix: dict[str, ApiKey] = {}
        self._had_others = False
        """There were keys that are here no longer."""
        self._newly_revoked: list[str] = []
        self._told: dict[str, int] = {}
        """What `take_changed` told: `revoked_ms` by prefix, the only thing of a key that changes."""
        self._learned: dict[str, KeyRecord] = {}
        """What the file has not got yet; as many as the core takes of a cluster."""
        self._only_of: NodeId | None = None
        """The file has not yet forgotten what others than this node made."""
        self._uses: dict[str, int] = {}
        self._file = KeyFile(path)
        self.refresh()

    def __bool__(self) -> bool:
        """Whether there ever was a key: then the bus is not open to who shows none."""
        self.refresh()
        return bool(self._by_prefix) or self._had_others

    def close(self) -> None:
        self._file.close()

    def all(self) -> list[ApiKey]:
        """Oldest first, with the last uses as the file has them."""
        self.refresh(again=True)
        return sorted(self._by_prefix.values(), key=lambda key: (key.created_ms, key.prefix))

    def refresh(self, *, again: bool = False) -> None:
        """Read what another process wrote; `again`: or this one, and last uses too."""
        read = self._file.read(again=again)
        if read is None:
            return
        keys, self._had_others = read
        if self._only_of is not None:
            keys = {prefix: key for prefix, key in keys.items() if key.is_of(self._only_of)}
            self._had_others = True
        for record in self._learned.values():
            keys[record.prefix] = _joined(keys.get(record.prefix), record)
        before, self._by_prefix = self._by_prefix, keys
        for key in before.values():
            now = keys.get(key.prefix)
            if now is not None and now.last_used_ms < key.last_used_ms:
                keys[key.prefix] = replace(now, last_used_ms=key.last_used_ms)
            if not key.revoked_ms and self._revoked(key.prefix):
                self._newly_revoked.append(key.prefix)

    # --- who shows one ---------------------------------------------------------------------------------------

    def judge(self, shown: str) -> Identity:
        """Raises AuthRefused, whatever was shown."""
        self.refresh()
        prefix, _, _ = shown.removeprefix(MARK).partition("_")
        key = self._by_prefix.get(prefix)
        if key is None or not hmac.compare_digest(_hash(shown), key.hash):
            raise invalid("no such API key")
        now_ms = self._wall_ms()
        state = key.state(now_ms)
        if state != "active":
            code = "bus.auth-expired" if state == "expired" else "bus.auth-revoked"
            raise AuthRefused(code, f"the API key {prefix} ({key.name}) is {state}", hint="arqon bus key new NAME")
        if now_ms - key.last_used_ms >= USED_EVERY_MS:
            self._by_prefix[prefix] = replace(key, last_used_ms=now_ms)
            self._uses[prefix] = now_ms
        return Identity(key.name, key.role, key.tenant, key.permissions, key.expires_ms, f"key:{prefix}")

    def is_revoked(self, prefix: str) -> bool:
        """Whether this key was revoked, or is no more."""
        self.refresh()
        return self._revoked(prefix)

    def take_revoked(self) -> list[str]:
        """Prefixes of keys that were revoked since the last time this was asked."""
        self.refresh()
        revoked, self._newly_revoked = self._newly_revoked, []
        return revoked

    def take_uses(self) -> dict[str, int]:
        """When keys were used last, since the last time this was asked: for `key_file.write_uses`."""
        uses, self._uses = self._uses, {}
        return uses

    # --- the cluster -----------------------------------------------------------------------------------------

    def take_changed(self, here: NodeId) -> list[KeyRecord]:
        """What was made or revoked, here or elsewhere, since the last time this was asked; at first everything."""
        self.refresh()
        told, changed = self._told, []
        for prefix, key in self._by_prefix.items():
            if told.get(prefix) != key.revoked_ms:
                told[prefix] = key.revoked_ms
                changed.append(key.record(here))
        return changed

    def learn(self, records: Sequence[KeyRecord]) -> None:
        """Take what other nodes of the cluster know of keys. It holds from now on; `save` writes it."""
        self.refresh()
        for record in records:
            before = self._by_prefix.get(record.prefix)
            now = self._by_prefix[record.prefix] = _joined(before, record)
            self._learned[record.prefix] = now.record(NodeId(record.made_at))
            if before is not None and now.revoked_ms and not before.revoked_ms:
                self._newly_revoked.append(record.prefix)

    def forget_others(self, here: NodeId) -> int:
        """The cluster is left: what others made holds here no longer. How many these are; `save` writes it."""
        self.refresh()
        gone = [key for key in self._by_prefix.values() if not key.is_of(here)]
        for key in gone:
            for kept in (self._by_prefix, self._learned, self._told, self._uses):
                kept.pop(key.prefix, None)
            if not key.revoked_ms:
                self._newly_revoked.append(key.prefix)
        if gone:
            self._only_of, self._had_others = here, True
        return len(gone)

    def save(self) -> None:
        """Write what was learned or forgotten. Raises StorageError; it holds all the same, and is written later."""
        if not self._learned and self._only_of is None:
            return
        self._file.write(list(self._learned.values()), only_of=self._only_of)
        self._learned, self._only_of = {}, None

    # --- the operator ----------------------------------------------------------------------------------------

    def new(
        self, name: str, role: Role, *, tenant: str = "", permissions: Sequence[str] = (), lifetime_ms: int = 0
    ) -> tuple[str, ApiKey]:
        """Make a key: (the key itself, which is nowhere else, and what is kept of it). Raises UsageError."""
        wrong = wrong_permission(permissions)
        if not name.isprintable() or not 0 < len(name) <= NAME_MAX:
            wrong = f"name is {name[:80]!r}; it needs to be printable, of 1 to {NAME_MAX} characters"
        elif tenant and not is_tenant(tenant):
            wrong = f"tenant is {tenant[:80]!r}; it needs to be {TENANT_FORM}"
        elif len(self.all()) >= KEYS_MAX:
            wrong = f"there are {KEYS_MAX} keys, revoked ones included; it needs to be fewer"
        if wrong:
            raise UsageError("bus.key-invalid", wrong, hint="arqon bus key new --help")
        prefix = base64.b32encode(secrets.token_bytes(_PREFIX_BYTES)).decode().lower()
        shown = f"{MARK}{prefix}_{secrets.token_urlsafe(32)}"
        now_ms = self._wall_ms()
        expires_ms = now_ms + lifetime_ms if lifetime_ms else 0
        key = ApiKey(prefix, _hash(shown), name, role, tenant, tuple(permissions), now_ms, expires_ms, 0, 0)
        self._file.add(key)
        self.refresh(again=True)
        return shown, key

    def revoke(self, named: str) -> ApiKey:
        """By prefix, by the name that only one key has, or by the key itself. Raises NotFound, UsageError."""
        prefix = named.removeprefix(MARK).partition("_")[0]
        found = [key for key in self.all() if key.prefix == prefix]
        found = found or [key for key in self.all() if key.name == named and not key.revoked_ms]
        if not found:
            raise NotFound(
                "bus.key-unknown",
                f"no API key is called {named[:80]!r}; it needs to be the name or the prefix of one",
                hint="arqon bus key ls",
            )
        if len(found) > 1:
            raise UsageError(
                "bus.key-ambiguous",
                f"{len(found)} keys are called {named[:80]!r}; it needs to be one of "
                + ", ".join(key.prefix for key in found),
                hint=f"arqon bus key revoke {found[0].prefix}",
            )
        self._file.revoke(found[0].prefix, self._wall_ms())
        self.refresh(again=True)
        return self._by_prefix[found[0].prefix]

    def _revoked(self, prefix: str) -> bool:
        now = self._by_prefix.get(prefix)
        return now is None or bool(now.revoked_ms)


def _joined(known: ApiKey | None, record: KeyRecord) -> ApiKey:
    """What is known here of a key and what another node tells of it: the earlier revocation holds."""
    revoked = [ms for ms in (record.revoked_ms, 0 if known is None else known.revoked_ms) if ms]
    return ApiKey(
        record.prefix,
        record.hash,
        record.name,
        record.role,
        record.tenant,
        record.permissions,
        record.created_ms,
        record.expires_ms,
        min(revoked, default=0),
        0 if known is None else known.last_used_ms,
        record.made_at,
    )


def _hash(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "replace")).digest()
