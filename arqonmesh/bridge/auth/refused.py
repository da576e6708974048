"""A credential that does not hold up."""

from __future__ import annotations

from arqonmesh.core.bus.refusal import Refusal


class AuthRefused(Refusal):
    """`status` is what the handshake answers; `authenticate` answers with code, sentence and hint alone."""

    def __init__(self, code: str, sentence: str, *, hint: str = "", status: int = 401) -> None:
        super().__init__(code, sentence, hint=hint, field="token")
        self.status = status


def invalid(why: str) -> AuthRefused:
    return AuthRefused("bus.auth", f"{why}; the bus needs a valid token or API key", hint=HOW)


HOW = "Authorization: Bearer TOKEN, or ?token=TOKEN in the URL"
