"""`arqon bus`: who uses this node's bus, and who may: clients, API keys, tokens for tests."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from arqonmesh.errors import ArqonError, ConfigError
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen
from arqonmesh_cli.times import day_and_clock
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.node_views import BusClientView
    from arqonmesh.bridge.auth.api_keys import ApiKeys
    from arqonmesh.bridge.auth.key_file import ApiKey

app = noun("Who uses this node's bus, and who may.")
keys = noun("API keys of this node's cluster. They take effect at once, also in running nodes.")
app.add_typer(keys, name="key")

_FIRST_KEY: Final = (
    "the cluster's first key: clients that show none are refused at all its nodes from now on, and closed, unless "
    "bus.auth.anonymous says otherwise; arqon pub and sub at a node go on as its operator, elsewhere they take "
    "--token KEY"
)

Role = Literal["guest", "user", "admin"]
RoleOption = Annotated[Role, typer.Option("--role", help="What its owner may do: read, use, or also delete.")]
Tenant = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="Of this tenant alone (/t/NAME).", show_default=False)
]
Permission = Annotated[
    list[str] | None,
    typer.Option(
        "--permission",
        metavar="ACTION:PATTERN",
        help="Such as publish:plant:*, or -join:secret:* to forbid; may be repeated, the last that matches decides.",
        show_default=False,
    ),
]


@verb(
    keys,
    "new",
    "arqon bus key new dashboard --role guest",
    "arqon bus key new press-7 --permission='-*:*' --permission=publish:plant:press-7 --expires 90d",
)
def key_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, for people.")],
    role: RoleOption = "user",
    tenant: Tenant = "",
    permission: Permission = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it holds: 90d.", show_default="for ever")
    ] = None,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Make a key for the whole cluster and print it: one line, a secret, shown this once.

    With the first key, anonymous clients end."""
    lifetime_ms = 0 if expires is None else int(parse_duration(expires, "--expires 90d") * 1_000)
    with closing(_keys(place_of(data_dir, context))) as store:
        shown, key = store.new(name, role, tenant=tenant, permissions=permission or (), lifetime_ms=lifetime_ms)
        first = len(store.all()) == 1

    def text(screen: Screen) -> None:
        screen.line(shown)
        if screen.terminal:
            said = f"for {key.name} ({key.role}), {_until(key)}; send it as Authorization: Bearer KEY"
            Screen(sys.stderr).line((said, "dim"))
            if first:
                Screen(sys.stderr).line((_FIRST_KEY, "yellow"))

    return Answer({"key": shown, "first": first, **_told(key)}, text)


@verb(keys, "ls", "arqon bus key ls", "arqon bus key ls --json | jq '.data.keys[] | select(.state == \"active\")'")
def key_ls(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """List the cluster's keys: whose, for what, until when, when last used here, at which node made.

    The keys themselves are nowhere to be had."""
    with closing(_keys(place_of(data_dir, context))) as store:
        found = store.all()
    now_ms = _now_ms()

    def text(screen: Screen) -> None:
        screen.table(
            ("PREFIX", "NAME", "ROLE", "TENANT", "STATE", "LAST USED", "MADE AT", "PERMISSIONS"),
            [
                (
                    key.prefix,
                    key.name,
                    key.role,
                    key.tenant or "-",
                    key.state(now_ms) if key.state(now_ms) != "active" else _until(key),
                    day_and_clock(key.last_used_ms) if key.last_used_ms else "never",
                    key.made_at[:8] or "here",
                    " ".join(key.permissions) or "-",
                )
                for key in found
            ],
            empty="no keys; one is made with: arqon bus key new NAME",
        )

    return Answer({"keys": [_told(key) for key in found]}, text)


@verb(keys, "revoke", "arqon bus key revoke k3v9x2mq", "arqon bus key revoke dashboard")
def key_revoke(
    key: Annotated[str, typer.Argument(metavar="PREFIX|NAME", help="From `arqon bus key ls`.")],
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Let nobody in with this key from now on, at no node of the cluster, and close who came in with it."""
    place = place_of(data_dir, context)
    with closing(_keys(place)) as store:
        try:
            revoked = store.revoke(key)
        except ArqonError as error:
            error.hint = place.hinted(error.hint)
            raise
    return Answer(_told(revoked), lambda screen: screen.line(f"key {revoked.prefix} of {revoked.name} is revoked"))


@verb(
    app,
    "token",
    "arqon bus token --role admin --expires 15m",
    'arqon sub chat:lobby --token "$(arqon bus token --subject ann)"',
)
def token(
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="Whom it is for (`sub`).")] = "test",
    role: RoleOption = "user",
    tenant: Tenant = "",
    permission: Permission = None,
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="How long it holds: 15m, 1h.")] = "1h",
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Sign a token with the node's own secret (bus.auth.jwt.secret_file), for tests and scripts."""
    from arqonmesh.bridge.auth.mint import mint
    from arqonmesh.bridge.auth.token_keys import TokenKeys
    from arqonmesh.config.load import load

    place = place_of(data_dir, context)
    settings = load(place.files.config, os.environ).bus.auth.jwt
    signed, claims = mint(
        settings,
        TokenKeys(settings, place.data_dir),
        _now_ms(),
        subject=subject,
        role=role,
        lifetime_s=max(1, int(parse_duration(expires))),
        tenant=tenant,
        permissions=tuple(permission or ()),
    )
    return Answer({"token": signed, "claims": claims}, lambda screen: screen.line(signed))


@verb(app, "clients", "arqon bus clients", "arqon bus clients --slow --json | jq -r '.data.clients[].id'")
def clients(
    slow: Annotated[bool, typer.Option("--slow", help="Only those that read too slowly.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """List the clients of this node's bus, longest queue first: who they are, their rates, what waits and was lost."""
    found, total = ask_at(data_dir, context, lambda node: node.bus_clients(slow))

    def text(screen: Screen) -> None:
        screen.table(
            ("CLIENT", "ADDRESS", "TYPE", "SUBJECT", "ROOMS", "IN/S", "OUT/S", "QUEUE", "DROPPED", "SINCE"),
            [_row(client) for client in found],
            empty="no client is slow" if slow else "no clients",
        )
        if len(found) < total:
            screen.line((f"{len(found)} of {total} clients", "dim"))

    return Answer({"clients": found, "total": total}, text)


def _row(client: BusClientView) -> tuple[str, ...]:
    who = client.subject or client.name or "-"
    rooms = ", ".join(client.rooms[:2]) or "-"
    more = client.subscriptions - min(2, len(client.rooms))
    return (
        client.id,
        client.address,
        client.kind or "-",
        f"{client.tenant}/{who}" if client.tenant else who,
        f"{rooms} +{more}" if more > 0 else rooms,
        f"{client.in_per_s:.0f}",
        _bytes(client.out_bytes_per_s),
        _bytes(client.queue_bytes) + (f", slow for {show_duration(client.slow_ms / 1_000)}" if client.slow_ms else ""),
        str(client.dropped),
        show_duration((_now_ms() - client.since_ms) / 1_000),
    )


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _keys(place: Place) -> ApiKeys:
    """The keys of the node at this place. Raises ConfigError when there is none."""
    from arqonmesh.bridge.auth.api_keys import FILE, ApiKeys

    if not place.files.initialised:
        raise ConfigError(
            "config.missing-file",
            f"there is no {place.files.config}; it needs to be made first",
            hint=f"arqon init --cluster NAME {place.option}",
        )
    return ApiKeys(place.data_dir / FILE, _now_ms)


def _told(key: ApiKey) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "role": key.role,
        "tenant": key.tenant,
        "permissions": key.permissions,
        "state": key.state(_now_ms()),
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "last_used_ms": key.last_used_ms,
        "made_at": key.made_at,
    }


def _until(key: ApiKey) -> str:
    if not key.expires_ms:
        return "for ever"
    return f"for {show_duration((key.expires_ms - _now_ms()) / 1_000)}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
