"""`arqon init`: a node's data directory, with its identity and its settings. Never overwrites anything.

Where the settings of a node are gone and its identity is there, they are written again and the identity is kept.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from arqonmesh.errors import ConfigError, TrustError, UsageError
from arqonmesh.ids import parse_cluster
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.options import DataDir, Json
from arqonmesh_cli.screen import Screen
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.trust.keys import NodeKey

app = noun("A new node.")

OPTIONS: Final = {
    **{f"node.{name}": f"--{name}" for name in ("cluster", "role", "region")},
    **{f"listen.{name}": f"--{name}" for name in ("quic", "bus", "http", "telemetry", "advertise")},
    "federation.export.allow": "--export",
    "federation.export.deny": "--keep",
}
"""The settings that the command line gives, and what is typed for each."""
_SETTING: Final = re.compile(rf"\b({'|'.join(map(re.escape, OPTIONS))})\b(?:\[\d+\])?")


@verb(
    app,
    "init",
    "arqon init --cluster hq --role hub --region eu",
    "arqon init --cluster factory --role spoke --export 'telemetry:*'",
    "arqon init --cluster b --data-dir ./b --quic 127.0.0.1:9230 --bus 127.0.0.1:9200 --http 127.0.0.1:9280 "
    "--telemetry 127.0.0.1:9201",
)
def init(
    cluster: Annotated[
        str,
        typer.Option("--cluster", metavar="NAME", help="The cluster: nodes that trust each other and share one bus."),
    ],
    role: Annotated[
        Literal["hub", "spoke", "leader"],
        typer.Option(
            "--role", help="A hub is dialled by every member, a spoke dials hubs, a leader speaks for its region."
        ),
    ] = "hub",
    region: Annotated[
        str, typer.Option("--region", metavar="NAME", help="Where it stands, such as eu.", show_default=False)
    ] = "",
    quic: Annotated[
        str | None, typer.Option("--quic", metavar="HOST:PORT", help="UDP address for other nodes.", show_default=False)
    ] = None,
    bus: Annotated[
        str | None,
        typer.Option("--bus", metavar="HOST:PORT", help="WebSocket address for bus clients.", show_default=False),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="HOST:PORT", help="Address of /health, /metrics and /status.", show_default=False
        ),
    ] = None,
    telemetry: Annotated[
        str | None,
        typer.Option(
            "--telemetry", metavar="HOST:PORT", help="WebSocket address for telemetry clients.", show_default=False
        ),
    ] = None,
    advertise: Annotated[
        list[str] | None,
        typer.Option(
            "--advertise", metavar="HOST:PORT", help="Address told to other nodes; repeatable.", show_default=False
        ),
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            "--export", metavar="PATTERN", help="Channels that may leave the cluster; repeatable.", show_default=False
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", metavar="PATTERN", help="Channels that stay, whatever --export lets out.", show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> Answer:
    """Make a node: data directory, identity, arqon.yaml. Nothing is exported unless --export or the file says so.

    A node that lost its arqon.yaml gets a new one, and keeps its identity, its mesh and its history.
    """
    from arqonmesh.config import schema
    from arqonmesh.config.write import render
    from arqonmesh.store.opening import open_database
    from arqonmesh.trust.keystore import create_node_key

    place = place_of(data_dir, None)
    kept = _existing_key(place)
    listen = {"quic": quic, "bus": bus, "http": http, "telemetry": telemetry, "advertise": advertise}
    rules = {"allow": export, "deny": keep}
    values = {
        "node": {"cluster": parse_cluster(cluster), "role": role, "region": region or None},
        "listen": listen,
        "federation": {"export": rules},
    }
    given = _given(values)
    _refuse_wrong(given)
    text_of_file = render(given, schema=schema.FILE_NAME)
    place.files.create()
    key = kept or create_node_key(place.files.node_key)
    (place.data_dir / schema.FILE_NAME).write_text(schema.render())
    _write_new(place.files.config, text_of_file)
    if not place.files.database.exists():
        # sqlite-utils, which makes the tables, takes 7 MB with what it brings: a node that runs for months is spared it
        open_database(place.files.database).close()

    def text(screen: Screen) -> None:
        what = "is made" if kept is None else "keeps its identity and has new settings"
        screen.line(f"node {key.node_id[:8]} of cluster {cluster} {what} in {place.data_dir}")
        screen.fields(
            (("identity", key.node_id), ("key", str(place.files.node_key)), ("settings", str(place.files.config)))
        )
        if not export:
            screen.line(("nothing leaves the cluster yet: federation.export in arqon.yaml says what may", "dim"))
        screen.line(("next: " + place.start_hint, "dim"))

    data = {
        "node_id": key.node_id,
        "cluster": cluster,
        "role": role,
        "data_dir": str(place.data_dir),
        "config": str(place.files.config),
        "node_key": str(place.files.node_key),
    }
    return Answer(data, text)


def _refuse_wrong(given: dict[str, Any]) -> None:
    """Raises ConfigError with the first thing that is wrong, as what was typed: nobody wrote a file yet."""
    from arqonmesh.config.load import examine

    for problem in examine(json.dumps(given).encode()).problems:  # JSON is YAML
        sentence = _SETTING.sub(lambda found: OPTIONS[found[1]], problem.sentence)
        raise ConfigError(problem.code, sentence, hint="arqon init --help")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said, so that the file shows defaults as comments."""
    kept = {name: _given(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value not in (None, {}, [])}


def _existing_key(place: Place) -> NodeKey | None:
    """The identity of a node without settings; None where there is no node. Raises UsageError where there is a whole
    one, or a key that cannot be read."""
    from arqonmesh.trust.keystore import load_node_key

    found = [path for path in (place.files.node_key, place.files.config) if path.exists()]
    if not found:
        return None
    if found == [place.files.node_key]:
        with suppress(TrustError):
            return load_node_key(place.files.node_key)
    another = place.data_dir.with_name(place.data_dir.name + "-2")
    raise UsageError(
        "cli.already-initialised",
        f"{found[0]} exists; a node is never made over another one",
        hint=f"arqon init --cluster NAME --data-dir {shlex.quote(str(another))}",
    )


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
