"""Why a client's frame was not acted upon. Becomes an `error` envelope, never an exception that leaves the bus."""

from __future__ import annotations

from arqonmesh.errors import PeerError


class Refusal(PeerError):
    """`field` names the part of the frame that is meant; empty when it is the frame as a whole."""

    def __init__(self, code: str, sentence: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(code, sentence, hint=hint)
        self.field = field
