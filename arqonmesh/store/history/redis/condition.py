"""What goes wrong with Redis, by kind, and how it stands with it now.

| kind     | what was seen                                              | what is done                               |
|----------|------------------------------------------------------------|--------------------------------------------|
| gone     | no connection, or it broke                                 | connect again, with back-off; nothing lost |
| timeout  | connected, and no answer in time                           | the same                                   |
| loading  | it reads its data from disk after a start                  | the same                                   |
| auth     | NOAUTH, WRONGPASS, NOPERM                                  | the same, until user or rights are right   |
| readonly | a replica                                                  | the same; the name is resolved anew        |
| full     | OOM: `maxmemory` with `noeviction`                         | try again; what is in it is read           |
| refused  | MISCONF, BUSY, a node of a Redis cluster, unknown commands | try again                                  |
| key      | WRONGTYPE, or a script that fails on what a key holds      | these frames are skipped, counted, told    |

One log line when it begins and one when it is over, for Redis as a whole and for each key.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

KINDS: Final = ("gone", "timeout", "loading", "auth", "readonly", "full", "refused", "key")
SPOILED_MAX: Final = 1_024
"""Keys of which it is known that they cannot be written; those beyond are counted only."""
SPOILED_TOLD: Final = 10
"""Of them, in /health."""

_SAID: Final = (
    ("readonly", ("READONLY ", "read only replica")),
    ("full", ("OOM ", "used memory > 'maxmemory'")),
    ("loading", ("LOADING ", "MASTERDOWN ")),
    ("auth", ("NOAUTH ", "WRONGPASS ", "NOPERM ", "no permissions to")),
    ("refused", ("MISCONF ", "NOREPLICAS ", "BUSY ", "UNKILLABLE ", "unknown command", "max number of clients")),
    ("refused", ("MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ", "CROSSSLOT ", "NOSCRIPT ", "EXECABORT ")),
)
_OF_A_KEY: Final = ("WRONGTYPE", "user_script", "ID specified in XADD", "exhausted the last possible ID")
_SENTENCES: Final = {
    "gone": "is gone",
    "timeout": "does not answer in time",
    "loading": "is loading its data",
    "auth": "does not let this node in",
    "readonly": "is a replica and takes no writes",
    "full": "has no memory left and takes no writes",
    "refused": "refuses what it is sent",
}
HINTS: Final = {
    "gone": "redis-cli ping",
    "timeout": "redis-cli --latency; redis-cli slowlog get 5",
    "loading": "redis-cli info persistence",
    "auth": "redis-cli acl whoami; look at user and password in bus.history.redis_url",
    "readonly": "redis-cli role; bus.history.redis_url has to lead to the primary",
    "full": "redis-cli info memory; raise maxmemory or lower bus.history.redis_maxlen",
    "refused": "redis-cli info",
}

_log = logging.getLogger("arqonmesh.store.redis")


def kind_of(error: BaseException) -> str:
    """One of KINDS."""
    match error:
        case AuthenticationError() | AuthorizationError() | NoPermissionError():
            return "auth"
        case BusyLoadingError():
            return "loading"
        case RedisTimeoutError() | TimeoutError():
            return "timeout"
        case ReadOnlyError():
            return "readonly"
        case OutOfMemoryError():
            return "full"
        case ResponseError():
            said = str(error)
            # a script's failure (Redis 6) quotes what its command was told, so that goes first
            for kind, marks in _SAID:
                if any(mark in said for mark in marks):
                    return kind
            return "key" if any(mark in said for mark in _OF_A_KEY) else "refused"
        case RedisError() | OSError():
            return "gone"
    return "refused"


class Condition:
    """How it stands with one Redis: `connected` says whether it answers questions, `ok` whether it takes writes too."""

    def __init__(self, shown: str) -> None:
        self.connected = False
        self.failures: Counter[str] = Counter()
        """By kind: every answer that was a failure, and every connection that was."""
        self.episodes = 0
        """Times that Redis went away, or took nothing any more."""
        self.reconnects = 0
        """Times that it came back."""
        self.skipped = 0
        """Frames that a key of the wrong type has cost."""
        self.spoiled: dict[str, str] = {}
        """Key -> what Redis said of it when it was to be written last."""
        self._shown = shown
        self._kind = "gone"
        self._detail = "not connected yet"
        self._since_s = time.monotonic()
        self._told = False
        self._was_well = False

    @property
    def is_gone(self) -> bool:
        """Found so, and not found otherwise since: a question would wait in vain."""
        return not self.connected and self.failures.total() > 0

    @property
    def ok(self) -> bool:
        return not self._kind

    def answers(self) -> None:
        """There is a connection, and it is let in."""
        self.connected = True

    def well(self) -> None:
        """It takes what is written."""
        self.connected = True
        if not self._kind:
            return
        if self._was_well:
            self.reconnects += 1
        if self._told:
            _log.warning("Redis at %s is back after %.1f s", self._shown, time.monotonic() - self._since_s)
        self._kind = self._detail = ""
        self._told, self._was_well = False, True
        self._since_s = time.monotonic()

    def fails(self, error: BaseException) -> str:
        """Something of the whole Redis failed, not of a key; the kind."""
        kind = kind_of(error)
        self.failures[kind] += 1
        if kind not in ("full", "readonly", "refused"):
            self.connected = False
        if not self._kind:
            self.episodes += 1
            self._since_s = time.monotonic()
        self._kind, self._detail = kind, str(error) or type(error).__name__
        if not self._told:
            self._told = True
            _log.warning("store.redis: %s", self.sentence())
        return kind

    def spoils(self, key: str, frames: int, error: BaseException) -> None:
        """This key alone cannot be written; `frames`: what that has cost."""
        self.failures["key"] += 1
        self.skipped += frames
        if key not in self.spoiled and len(self.spoiled) < SPOILED_MAX:
            _log.warning("store.redis-key: %s in Redis at %s cannot be written: %s", key, self._shown, error)
            self.spoiled[key] = str(error)

    def heals(self, key: str) -> None:
        if self.spoiled.pop(key, None) is not None:
            _log.warning("store.redis-key: %s in Redis at %s is written again", key, self._shown)

    def sentence(self) -> str:
        said = f" ({self._detail})" if self._detail else ""
        return f"Redis at {self._shown} {_SENTENCES.get(self._kind, 'refuses what it is sent')}{said}"

    def health(self, instead: str) -> Mapping[str, object]:
        """`instead`: what keeps the history meanwhile."""
        told: dict[str, object] = {"connected": self.connected, "failures": dict(self.failures)}
        if self.spoiled:
            keys = list(self.spoiled)[:SPOILED_TOLD]
            told |= {
                "ok": False,
                "skipped": self.skipped,
                "spoiled_keys": keys,
                "reason": f"store.redis-key: {len(self.spoiled)} keys of Redis at {self._shown} cannot be written, "
                f"among them {keys[0]}: {self.spoiled[keys[0]]}",
                "hint": "look with redis-cli type at that key and its arqon:heads:, and rename or delete what is there",
            }
        if self._kind:
            told |= {
                "ok": False,
                "fallback": instead,
                "kind": self._kind,
                "for_s": round(time.monotonic() - self._since_s, 1),
                "reason": f"store.redis: {self.sentence()}; {instead} keeps the history",
                "hint": HINTS[self._kind],
            }
        return told
