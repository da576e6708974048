"""`arqon demo`: three real nodes on this machine, fed with its own readings, and a look at what crosses and what stays.

factory ── publishes telemetry:host (exported) and raw:proc (not)
   │ QUIC
  hq    ── receives, and passes on to the other spoke
   │ QUIC
store   ── publishes the same two
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.options import Json
from arqonmesh_cli.screen import Screen

if TYPE_CHECKING:
    from arqonmesh_cli.demo_mesh import DemoMesh
    from arqonmesh_cli.demo_report import Report
    from arqonmesh_cli.demo_traffic import Traffic

app = noun("A mesh to look at.")

TELL_EVERY_S: Final = 5.0


@verb(app, "demo", "arqon demo", "arqon demo --once", "arqon demo --once --json | jq .data.clusters")
def demo(
    once: Annotated[bool, typer.Option("--once", help="Unattended: ten seconds, a table, done.")] = False,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long --once lets them talk.")] = "10s",
    as_json: Json = False,
) -> Answer:
    """Start three clusters on this machine, let them talk, show it live; gone when it ends. --json implies --once."""
    from arqonmesh_cli.demo_report import show_report

    begun, span_s = time.monotonic(), parse_duration(for_, "--for 10s")
    live = not once and not as_json
    try:
        report = asyncio.run(_demo(live, span_s, Screen(sys.stderr if as_json else sys.stdout)))
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    report.check()
    data = report.data(time.monotonic() - begun)
    return Answer(data, lambda screen: show_report(screen, data))


async def _demo(live: bool, span_s: float, screen: Screen) -> Report:
    from arqonmesh_cli.demo_mesh import demo_mesh
    from arqonmesh_cli.demo_report import gather
    from arqonmesh_cli.demo_traffic import Traffic

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C: whatever ends the demo, its nodes are stopped first.
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with demo_mesh(lambda line: screen.line((line, "dim"))) as mesh:
        async with Traffic(mesh, reconnect=live) as traffic:
            if live:
                await _watch(mesh, traffic, screen)
            else:
                screen.line((f"publishing for {show_duration(span_s)}", "dim"))
                await asyncio.sleep(span_s)
            mesh.refuse_ended()
            await traffic.finish()
            report = await gather(mesh, traffic)
        screen.line(("stopping", "dim"))
    return report


async def _watch(mesh: DemoMesh, traffic: Traffic, screen: Screen) -> None:
    """The live screen until q; without a terminal, a line now and then until a signal."""
    if screen.terminal and sys.stdin.isatty():
        from arqonmesh_cli.tui.app import LiveMesh

        live = LiveMesh(mesh.node("hq").client)
        live.state.notes = mesh.to_try()
        await live.run_async()
        return
    for line in ("try in another terminal:", *("  " + line for line in mesh.to_try())):
        screen.line(line)
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        screen.line(f"hq has received {traffic.received_at('hq')} messages of the other clusters")
