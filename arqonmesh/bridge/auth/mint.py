"""Tokens signed with the node's own secret: for tests, scripts and the first hour, before there is an issuer."""

from __future__ import annotations

from typing import Any

import jwt

from arqonmesh.bridge.auth.token_keys import TokenKeys
from arqonmesh.config.model import JwtSettings
from arqonmesh.core.bus.permissions import wrong_permission
from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant
from arqonmesh.errors import UsageError


def mint(
    settings: JwtSettings,
    keys: TokenKeys,
    now_ms: int,
    *,
    subject: str,
    role: str,
    lifetime_s: int,
    tenant: str = "",
    permissions: tuple[str, ...] = (),
) -> tuple[str, dict[str, Any]]:
    """(the token, its claims). Raises UsageError where the node has no secret, or a claim would be refused."""
    secret = keys.signing_secret()
    if secret is None:
        raise UsageError(
            "bus.no-secret",
            "this node has no secret to sign tokens with; it needs bus.auth.jwt.secret_file (HS256)",
            hint="(umask 077; openssl rand -hex 32 > bus.secret), then secret_file: bus.secret under bus.auth.jwt in "
            "arqon.yaml",
        )
    wrong = wrong_permission(permissions)
    if tenant and not is_tenant(tenant):
        wrong = f"tenant is {tenant[:80]!r}; it needs to be {TENANT_FORM}"
    if wrong:
        raise UsageError("bus.key-invalid", wrong, hint="arqon bus token --help")
    now_s = now_ms // 1_000
    claims: dict[str, Any] = {"sub": subject, settings.role_claim: role, "iat": now_s, "exp": now_s + lifetime_s}
    if tenant:
        claims[settings.tenant_claim] = tenant
    if permissions:
        claims["permissions"] = list(permissions)
    if settings.issuer:
        claims["iss"] = settings.issuer
    if settings.audience:
        claims["aud"] = settings.audience
    return jwt.encode(claims, secret, algorithm="HS256"), claims
