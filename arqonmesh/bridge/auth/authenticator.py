"""What a client shows at the handshake, or later with `authenticate`, to who it is.

    Authorization: Bearer X   X-API-Key: X   ?token=X   ?access_token=X   ?auth_token=X   ?api_key=X

X is an API key, the bus's one token (`bus.auth_token`), a JSON Web Token, or the operator's own (operator.py). Who
shows something that does not hold up is refused, also where anonymous clients are let in: it believes to be someone.
Where nothing is set up that could judge it, what is shown is not looked at.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final, cast

from arqonmesh.bridge.auth.api_keys import MARK, ApiKeys
from arqonmesh.bridge.auth.refused import HOW, AuthRefused, invalid
from arqonmesh.bridge.auth.tokens import TokenReader
from arqonmesh.bridge.door import Gate, needs_no_dns
from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.identity import Identity, Role
from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant
from arqonmesh.errors import ConfigError, Denied

CREDENTIALS_IN_QUERY: Final = ("token", "access_token", "auth_token", "api_key")
_TENANT_PATH: Final = "/t/"


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Authenticator:
    """One for all doors of a node: bus, telemetry, HTTP. Raises ConfigError when its keys cannot be read."""

    def __init__(
        self,
        settings: BusSettings,
        *,
        base: Path | None = None,
        keys: ApiKeys | None = None,
        operator: str = "",
        wall_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """accepted_VIA (anonymous, token, jwt, key, operator) and refused_REASON."""
        self._settings = settings
        self._keys = keys
        self._operator = operator
        self._base = base or Path()
        self._wall_ms = wall_ms
        self._tokens = TokenReader(settings.auth.jwt, self._base, wall_ms)
        self._let_anyone_in = self.anonymous != "off"
        """As of the last look of `revoked`."""

    def candidate(self, settings: BusSettings) -> Authenticator:
        """One that judges by other settings. Raises ConfigError when its keys cannot be read."""
        return Authenticator(settings, base=self._base, keys=self._keys, operator=self._operator, wall_ms=self._wall_ms)

    def adopt(self, candidate: Authenticator) -> None:
        """Judge as `candidate` would; who showed something and is let in already stays until that ends."""
        self._settings, self._tokens = candidate._settings, candidate._tokens

    @property
    def configured(self) -> bool:
        """Whether there is anything that a client could show."""
        return bool(self._settings.auth_token) or bool(self._tokens.keys) or bool(self._keys)

    @property
    def anonymous(self) -> str:
        """The role of clients that show nothing; `off` when they are refused."""
        chosen = self._settings.auth.anonymous
        if chosen != "auto":
            return chosen
        return "off" if self.configured else "user"

    def check_listen(self, host: str, name: str) -> None:
        """Raises ConfigError `bus.open` when this address would let anyone in by accident."""
        if self._settings.auth.anonymous == "auto" and not self.configured and not is_loopback(host):
            raise ConfigError(
                "bus.open",
                f"{name} is {host}, which others can reach, and nothing says who may use the bus; it needs API keys, "
                "bus.auth.jwt, bus.auth_token, or bus.auth.anonymous set to a role",
                hint="arqon bus key new NAME"
                + ("" if self._base == Path() else f" --data-dir {quote(str(self._base))}"),
            )

    def identify(
        self, path: str, headers: Any, query: Mapping[str, list[str]], *, overseeing: bool = False
    ) -> Identity:
        """Who asks. `headers` is asked for names in lower case. Raises AuthRefused. `overseeing`: the operator need
        not say in which tenant."""
        try:
            tenant = self._tenant_of(path)
            identity = self._with_tenant(self._judge(credential(headers, query), tenant), tenant, overseeing)
        except AuthRefused as refused:
            self.counters["refused_" + refused.code.removeprefix("bus.")] += 1
            raise
        self.counters["accepted_" + identity.via.partition(":")[0]] += 1
        return identity

    def gate_at(self, host: str) -> Gate:
        """The gate (bridge/door.py) of a server that listens on this address. Where others reach it, nobody is let in
        just because the bus itself listens on loopback; and on loopback not by a name that may be made to lead
        there."""
        open_to_others = not is_loopback(host)

        def gate(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> Identity:
            identity = self.identify("/", headers, query, overseeing=True)
            if identity.via != "anonymous" or self._settings.auth.anonymous != "auto":
                return identity
            asked = headers.get("host", "")
            if asked and not open_to_others and not needs_no_dns(f"//{asked}"):
                raise Denied(
                    "http.host",
                    f"the request is for {asked[:256]!r}, a name that may be made to lead here, and shows no key",
                    hint="ask for localhost or the address itself, or show a key: arqon bus key new NAME",
                )
            if open_to_others:
                raise AuthRefused("bus.auth", "others reach this address, so it needs a token or an API key", hint=HOW)
            return identity

        return gate

    def gate(self, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> Identity:
        """Of a server that listens on loopback."""
        return self.gate_at("127.0.0.1")(headers, query)

    def renew(self, current: Identity, shown: str) -> Identity:
        """Who a connected client is from now on, by what it shows with `authenticate`. Raises AuthRefused."""
        if not self.configured:
            raise AuthRefused("bus.auth", "this bus knows nobody by token or key: no bus.auth is set up", hint="help")
        identity = self._judge(shown, current.tenant)
        if identity.tenant != current.tenant:
            raise self._disagree(current.tenant, identity.tenant)
        self.counters["renewed"] += 1
        return identity

    def ended(self, identity: Identity) -> str:
        """The code of why this identity counts no more; empty while it does."""
        if identity.via == "anonymous":
            return "bus.auth" if self.anonymous == "off" else ""
        if identity.expires_ms and self._wall_ms() >= identity.expires_ms:
            return "bus.auth-expired"
        if self._keys is not None and identity.via.startswith("key:") and self._keys.is_revoked(identity.via[4:]):
            return "bus.auth-revoked"
        return ""

    def revoked(self) -> list[str]:
        """`via` of whoever is to go since the last time this was asked: of each revoked API key, and `anonymous` when
        nobody is let in any more without showing something, as from the first key on."""
        ended = [] if self._keys is None else [f"key:{prefix}" for prefix in self._keys.take_revoked()]
        before, self._let_anyone_in = self._let_anyone_in, self.anonymous != "off"
        if before and not self._let_anyone_in:
            ended.append("anonymous")
        return ended

    def _judge(self, shown: str, tenant: str) -> Identity:
        if not shown or not self.configured:
            role = self.anonymous
            if role == "off":
                raise AuthRefused("bus.auth", "the bus asks for a token or an API key, and none was shown", hint=HOW)
            if tenant and self.configured:  # else a tenant would be whose name is known
                raise AuthRefused(
                    "bus.tenant",
                    f"tenant {tenant} is for those who show a token or key of it, and none was shown",
                    hint=HOW,
                    status=403,
                )
            return Identity(role=cast(Role, role), tenant=tenant)
        if shown.startswith(MARK) and self._keys is not None:
            return self._keys.judge(shown)
        if self._operator and hmac.compare_digest(shown.encode("utf-8", "replace"), self._operator.encode()):
            return Identity("operator", "admin", tenant, via="operator")
        one = self._settings.auth_token
        if one and hmac.compare_digest(shown.encode("utf-8", "replace"), one.encode()):
            return Identity("token", "user", via="token")
        if self._tokens.keys:
            return self._tokens.read(shown)
        raise invalid("what was shown is neither a known token nor an API key")

    def _tenant_of(self, path: str) -> str:
        """`/t/TENANT` and what is below it."""
        if not path.startswith(_TENANT_PATH):
            return ""
        tenant = path.removeprefix(_TENANT_PATH).partition("/")[0]
        if not is_tenant(tenant):
            raise AuthRefused(
                "bus.tenant", f"{tenant[:80]!r} is no tenant; it needs to be {TENANT_FORM}", hint="/t/acme", status=400
            )
        return tenant

    def _with_tenant(self, identity: Identity, asked: str, overseeing: bool) -> Identity:
        policy = self._settings.auth.tenants
        if policy == "off" and (asked or identity.tenant):
            raise AuthRefused(
                "bus.tenant",
                "this bus has no tenants: bus.auth.tenants is off",
                hint="connect to / with a token or key of no tenant",
                status=403,
            )
        if asked and asked != identity.tenant:
            raise self._disagree(asked, identity.tenant)
        if policy == "required" and not identity.tenant and identity.via == "operator":
            if overseeing:
                return identity
            raise AuthRefused(
                "bus.tenant",
                "every client of this bus has a tenant, and the operator has not said in which to act: --tenant",
                hint="arqon sub '*' --tenant NAME",
                status=403,
            )
        if policy == "required" and not identity.tenant:
            raise AuthRefused(
                "bus.tenant",
                "every client of this bus has a tenant, and neither URL nor token names one",
                hint="arqon bus key new NAME --tenant TENANT",
                status=403,
            )
        return identity

    def _disagree(self, asked: str, shown: str) -> AuthRefused:
        return AuthRefused(
            "bus.tenant",
            f"the connection is of {f'tenant {asked}' if asked else 'no tenant'}, and what was shown is for "
            f"{f'tenant {shown}' if shown else 'no tenant'}; they need to agree",
            hint="connect to /t/TENANT with a token or key of that tenant",
            status=403,
        )


def credential(headers: Any, query: Mapping[str, list[str]]) -> str:
    """The first thing shown; empty when there is none."""
    scheme, _, shown = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and shown.strip():
        return str(shown.strip())
    if key := headers.get("x-api-key", "").strip():
        return str(key)
    shown_in_query = (values[0].strip() for name in CREDENTIALS_IN_QUERY if (values := query.get(name)))
    return next(filter(None, shown_in_query), "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
