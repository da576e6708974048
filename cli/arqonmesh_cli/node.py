"""`arqon node`: the process of one node."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arqonmesh.api.probe import answers
from arqonmesh.errors import ArqonError, NotFound, NotRunning, TimedOut, UsageError
from arqonmesh_cli.answer import Answer, noun, print_json, verb
from arqonmesh_cli.connect import SILENCE_S, ask
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.logs import follow, last_lines
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.processes import began, gone, listener_pid, stopped, wait_gone
from arqonmesh_cli.screen import Screen, tell_terminal
from arqonmesh_cli.traffic import bus_traffic, http_of, telemetry_of
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.node_views import NodeStatus

app = noun("The process of this node.")

KILLED_S: Final = 5.0
"""A killed process ends at once, unless the kernel waits for something in its name, such as a disk."""

Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait: 500ms, 30s.")]


@verb(app, "start", "arqon node start                  (foreground; SIGTERM drains)", "arqon node start --detach")
def start(
    detach: Annotated[
        bool, typer.Option("--detach", help="In the background; returns when the node is ready.")
    ] = False,
    timeout: Timeout = "30s",
    ready_fd: Annotated[int, typer.Option("--ready-fd", hidden=True)] = -1,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer | None:
    """Start the node: in the foreground, its log on standard error, or in the background."""
    place = place_of(data_dir, context)
    if detach:
        from arqonmesh_cli.detach import start_detached

        tell_terminal(f"starting the node in {place.data_dir}")
        start_detached(place, parse_duration(timeout, "--timeout 30s"))
        status = ask(place, lambda node: node.node_status())
        return Answer(status, lambda screen: _started(screen, status, place))

    from arqonmesh_cli.serve import Start

    code = Start(place.data_dir, ready_fd, as_json).serve()
    if code:
        raise typer.Exit(code)
    return None


@verb(app, "stop", "arqon node stop", "arqon node stop --context hq --timeout 5s --force")
def stop(
    timeout: Timeout = "20s",
    force: Annotated[bool, typer.Option("--force", help="Kill it when it has not ended in time.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """End the node: it says farewell to its links, gives its clients a close frame and writes what it holds."""
    place = place_of(data_dir, context)
    patience_s = parse_duration(timeout, "--timeout 20s")
    begun = time.monotonic()
    pid = listener_pid(place.socket)
    if pid is None:
        if not answers(place.socket):
            raise NotRunning(
                "api.not-running", f"no node answers at {place.socket}; there is nothing to stop", hint=place.start_hint
            )
        pid = _seen_at_last(place)
    since, killed = began(pid), False  # its number may be another's before this has ended
    try:
        ask(place, lambda node: node.stop(patience_s=max(patience_s, SILENCE_S)))
    except ArqonError:
        if not force and not gone(pid, since):
            raise
    left_s = patience_s - (time.monotonic() - begun)
    if not wait_gone(pid, 0.0 if force and stopped(pid) else left_s, since):
        if not force:
            raise TimedOut(
                "cli.stop-timeout",
                f"node {pid} has not ended in {show_duration(patience_s)}; it needs longer, or force",
                hint=f"arqon node stop --force {place.option}",
            )
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, just now
            os.kill(pid, signal.SIGKILL)
            killed = True
        if not wait_gone(pid, KILLED_S, since):
            raise TimedOut(
                "cli.stop-timeout",
                f"node {pid} was killed and has not ended yet; the kernel needs to finish what it does for it first",
                hint=f"ps -o stat=,wchan= -p {pid}",
            )
    took_s = time.monotonic() - begun

    def text(screen: Screen) -> None:
        screen.line(f"node {pid} {'was killed' if killed else 'has ended'} after {show_duration(took_s)}")

    return Answer({"pid": pid, "killed": killed, "took_s": round(took_s, 3)}, text)


def _seen_at_last(place: Place) -> int:
    """The process of a node that the kernel did not name while its queue was full. Its own word, in its status, is no
    substitute: in another PID namespace, of a container that shares the data directory, it is somebody else's here."""
    ask(place, lambda node: node.node_status())
    pid = listener_pid(place.socket)
    if pid is None:
        raise UsageError(
            "cli.stop-unseen",
            f"the node at {place.socket} answers, and its process is not to be seen from here; the command needs to "
            "run where the node does",
            hint=f"arqon node stop {place.option}    # in the node's container",
        )
    return pid


@verb(app, "status", "arqon node status", "arqon node status --json | jq .data.counters")
def status(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Show the node: identity, addresses, clients, counters. Exit code 3 when it is not running."""
    place = place_of(data_dir, context)
    node = ask(place, lambda client: client.node_status())
    return Answer(node, lambda screen: _status(screen, node, place.suffix))


@verb(app, "logs", "arqon node logs -n 20", "arqon node logs -f", "arqon node logs -f --json | jq .data.entry")
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the newest lines.")] = 50,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Print the log of a node that was started with --detach; one in the foreground logs to its terminal."""
    place = place_of(data_dir, context)
    if not place.files.log.is_file():
        raise NotFound(
            "cli.no-log",
            f"there is no log at {place.files.log}; only a node started with --detach writes one",
            hint=f"{place.start_hint} --detach" if place.files.initialised else place.start_hint,
        )
    try:
        for line in follow(place.files.log, lines) if follow_ else last_lines(place.files.log, lines):
            _log_line(line, as_json)
    except KeyboardInterrupt:
        return  # the way to end it


def _log_line(line: str, as_json: bool) -> None:
    if as_json:
        import msgspec

        try:
            print_json({"line": line, "entry": msgspec.json.decode(line)})
        except msgspec.DecodeError:
            print_json({"line": line, "entry": None})
    else:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _started(screen: Screen, node: NodeStatus, place: Place) -> None:
    screen.line(f"node {node.node_id[:8]} of {node.cluster} is running, pid {node.pid}")
    screen.fields(_addresses(node, place.files.log))
    if node.telemetry_failure:
        screen.line((f"warning: {node.telemetry_failure}; it is tried again, and the bus goes on without it", "yellow"))
    if not node.mesh:
        screen.line((_into_a_mesh(place.suffix), "dim"))


def _into_a_mesh(suffix: str) -> str:
    return f"next: arqon mesh seed NAME{suffix}, or arqon mesh join TICKET{suffix}"


def _addresses(node: NodeStatus, log: Path) -> list[tuple[str, str]]:
    return [
        ("bus", node.bus),
        ("telemetry", telemetry_of(node)),
        ("http", http_of(node)),
        ("quic", node.quic),
        ("data", node.data_dir),
        ("log", str(log)),
    ]


def _status(screen: Screen, node: NodeStatus, suffix: str) -> None:
    screen.fields(
        (
            ("node", node.node_id),
            ("cluster", node.cluster),
            ("role", node.role),
            ("region", node.region or "-"),
            ("mesh", node.mesh or f"none; {_into_a_mesh(suffix)}"),
            ("process", f"{node.pid}, version {node.version}, up {show_duration(node.uptime_s)}"),
            ("bus", f"{node.bus}, clients: {node.clients}, channels: {node.channels}"),
            ("traffic", bus_traffic(node)),
            ("telemetry", node.telemetry_failure or telemetry_of(node)),
            ("http", http_of(node)),
            ("quic", node.quic),
            ("data", node.data_dir),
        )
    )
    screen.line()
    screen.table(
        ("COUNTER", "SINCE THE START"),
        [(name, str(count)) for name, count in sorted(node.counters.items())],
        empty="nothing counted yet",
    )
