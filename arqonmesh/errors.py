"""The error tree, printed once. Every error carries a stable code, a sentence and the next step.

    ArqonError
    ├── ConfigError      the operator's file, environment or arguments: fix and try again
    ├── UsageError       the command does not fit the state of the node: do something else first
    ├── NotRunning       no node answers on the control socket
    ├── NotFound         the thing named does not exist here
    ├── Denied           a policy, a role or a ticket says no
    ├── TimedOut         nothing came back in time
    ├── StorageError     a file of ours is corrupt, foreign, newer or unwritable
    ├── TrustError       a key, certificate, signature or ticket does not hold up
    └── PeerError        what a peer sent or did is wrong: weather, counted, never a crash
        └── DecodeError    bytes that are not what they claim to be

`code` is `room.reason` in lower case; scripts match it, the sentence stays free to improve.
`arqon explain CODE` reads `CATALOGUE`, which stands in error_catalogue.py: a new code gets its line there.
"""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.error_catalogue import CATALOGUE as CATALOGUE


class ArqonError(Exception):
    """Base of all errors that we raise on purpose. `str()` is the sentence: lower case, no full stop."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint
        """The command or edit that helps, as one would type it; empty when there is none."""


class ConfigError(ArqonError):
    exit_code = 2


class UsageError(ArqonError):
    exit_code = 2


class NotRunning(ArqonError):
    exit_code = 3


class Denied(ArqonError):
    exit_code = 4


class NotFound(ArqonError):
    exit_code = 5


class TimedOut(ArqonError):
    exit_code = 6


class Degraded(ArqonError):
    exit_code = 7


class StorageError(ArqonError):
    pass


class TrustError(ArqonError):
    exit_code = 4


class PeerError(ArqonError):
    pass


class DecodeError(PeerError):
    pass
