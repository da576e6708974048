"""JSON Web Tokens (RFC 7519, as RFC 8725 wants them) to identities.

PyJWT checks the signature; dates and claims are checked here, against the node's own wall clock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from arqonmesh.bridge.auth.refused import AuthRefused, invalid
from arqonmesh.bridge.auth.token_keys import TokenKeys
from arqonmesh.config.model import JwtSettings
from arqonmesh.core.bus.identity import RANKS, Identity, Role
from arqonmesh.core.bus.permissions import wrong_permission
from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant

if TYPE_CHECKING:
    from jwt import PyJWS

TOKEN_BYTES_MAX: Final = 8_192
SUBJECT_MAX: Final = 128
_DATE_MAX_S: Final = 100_000_000_000
_ROLES: Final = ("guest", "user", "admin")


class TokenReader:
    """Judges tokens. `wall_ms` is the node's wall clock, milliseconds since 1970."""

    def __init__(self, settings: JwtSettings, base: Path, wall_ms: Callable[[], int]) -> None:
        self.keys = TokenKeys(settings, base)
        self._settings = settings
        self._wall_ms = wall_ms

    def read(self, token: str) -> Identity:
        """Raises AuthRefused, whatever `token` is."""
        if len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise invalid(f"the token is longer than {TOKEN_BYTES_MAX} bytes or not ASCII")
        # here: with the HTTP client that it brings it takes 2 MB, which only a node that is shown tokens needs
        from jwt.exceptions import InvalidTokenError

        jws = _jws()
        try:
            kid = jws.get_unverified_header(token).get("kid", "")
            key = self.keys.find(kid if isinstance(kid, str) else "")
            if key is None:
                raise invalid(f"no key of this node fits the token's `kid`, {str(kid)[:64]!r}")
            payload = jws.decode(token, key.key, algorithms=[key.algorithm])
            claims = msgspec.json.decode(cast(bytes, payload), type=dict[str, Any])
        except (InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            # what PyJWT says of a token may quote it; the class of the error is enough
            raise invalid(f"the token does not hold up ({type(error).__name__})") from error
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        expires_ms = self._dates(claims)
        settings = self._settings
        if settings.issuer and claims.get("iss") != settings.issuer:
            raise invalid(f"the token's `iss` is not {settings.issuer!r}")
        if settings.audience:
            audience = claims.get("aud")
            if settings.audience not in (audience if isinstance(audience, list) else [audience]):
                raise invalid(f"the token's `aud` is not {settings.audience!r}")
        tenant = claims.get(settings.tenant_claim) or ""
        if tenant and not (isinstance(tenant, str) and is_tenant(tenant)):
            raise invalid(f"the token's `{settings.tenant_claim}` is no tenant: {TENANT_FORM}")
        permissions = claims.get("permissions") or []
        if not isinstance(permissions, list) or not all(isinstance(item, str) for item in permissions):
            raise invalid("the token's `permissions` are not a list of texts")
        if wrong := wrong_permission(permissions):
            raise invalid(f"the token's `permissions`: {wrong}")
        subject = claims.get("sub", "")
        if not isinstance(subject, str) or len(subject) > SUBJECT_MAX or not subject.isprintable():
            raise invalid(f"the token's `sub` is not printable text of at most {SUBJECT_MAX} characters")
        return Identity(subject, self._role(claims), tenant, tuple(permissions), expires_ms, "jwt")

    def _dates(self, claims: dict[str, Any]) -> int:
        """Until when the token holds, skew included; 0 for ever."""
        now_ms, skew_ms = self._wall_ms(), self._settings.clock_skew_s * 1_000
        if (begins := _ms(claims, "nbf")) is not None and now_ms < begins - skew_ms:
            sentence = f"the token holds only in {(begins - now_ms) // 1_000} s"
            raise AuthRefused("bus.auth-not-yet", sentence, hint="compare the clocks of node and issuer")
        ends = _ms(claims, "exp")
        if ends is None:
            if self._settings.expiry_required:
                raise invalid("the token has no `exp`, and bus.auth.jwt.expiry_required is on")
            return 0
        if now_ms >= ends + skew_ms:
            late_s = (now_ms - ends) // 1_000
            late = f"{late_s} s" if late_s else "less than a second"
            raise AuthRefused("bus.auth-expired", f"the token expired {late} ago", hint="ask for a new token")
        return ends + skew_ms

    def _role(self, claims: dict[str, Any]) -> Role:
        """The highest role that the claim names."""
        claim = claims.get(self._settings.role_claim)
        if claim is None:
            return self._settings.role_default
        named = [name for name in (claim if isinstance(claim, list) else [claim]) if name in _ROLES]
        if not named:
            raise invalid(f"the token's `{self._settings.role_claim}` is none of {', '.join(_ROLES)}")
        return cast(Role, max(named, key=lambda name: RANKS[name]))


@cache
def _jws() -> PyJWS:
    from jwt import PyJWS

    return PyJWS(algorithms=["HS256", "RS256", "EdDSA"])


def _ms(claims: dict[str, Any], name: str) -> int | None:
    """A NumericDate (RFC 7519, 2) in milliseconds."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DATE_MAX_S:
        raise invalid(f"the token's `{name}` is not a date")
    return int(value * 1_000)
