"""What `arqon lab` does. Every function answers with plain data and raises ArqonError."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from arqonmesh.errors import NotRunning
from arqonmesh_testbed import namespaces, netem, scenario, topology
from arqonmesh_testbed.building import build, tear_down
from arqonmesh_testbed.nodes import Nodes
from arqonmesh_testbed.state import LabFiles, State
from arqonmesh_testbed.story import Story, figures
from arqonmesh_testbed.switch_control import order
from arqonmesh_testbed.topology import LOCAL_BUS, LOCAL_HTTP, QUIC_PORT

KEEP_VARIABLE: Final = "ARQON_LAB_KEEP"
"""Set: a lab whose scenario failed stays up, to be looked at."""


def up(topology_name: str = "star3") -> dict[str, Any]:
    """Build a lab and join its nodes to one mesh; what `status` says of it. Half a lab is taken down again."""
    namespaces.require()
    name, plan = topology.read(topology_name)
    files = LabFiles()
    with _ended_by_signals(), files.locked():
        build(files, name, plan)
    return status()


def cut(a: str, b: str, one_way: bool = False) -> dict[str, Any]:
    """Lose what a and b send each other, or only what a sends to b."""
    order(_up().switch_socket, "cut", a=a, b=b, one_way=one_way)
    return {"cut": [a, b], "one_way": one_way}


def heal() -> dict[str, Any]:
    """End all cuts."""
    return {"healed_directions": order(_up().switch_socket, "heal")["healed"]}


def status() -> dict[str, Any]:
    """The lab that is up: nodes, links and what the switch has counted. Raises NotRunning."""
    files = _up()
    state = files.load()
    stats = order(files.switch_socket, "stats")
    outbound_only = {row["node"]: row["outbound_only"] for row in stats["nodes"]}
    nodes = Nodes(files, state.topology)
    return {
        "lab": state.name,
        "topology": state.topology_name,
        "ready": state.up,
        "up_s": round(time.time() - state.since_ms / 1e3, 1),
        "directory": str(files.root),
        "switch_pid": None if state.switch is None else state.switch.pid,
        "netem": netem.describe(),
        "nodes": [
            {
                "node": name,
                "cluster": spec.cluster,
                "role": spec.role,
                "state": _process_state(state, name),
                "pid": state.nodes[name].pid if name in state.nodes else None,
                "quic": f"{state.topology.address(name)}:{QUIC_PORT}",
                "outbound_only": outbound_only.get(name, False),
                "namespace": nodes.namespace(name),
                "data_dir": str(nodes.data_dir(name)),
            }
            for name, spec in state.topology.nodes.items()
        ],
        "paths": [
            {
                "from": path["from"],
                "to": path["to"],
                "cut_off": path["model"]["cut"],
                "delay_ms": path["model"]["delay_us"] / 1e3,
                **{key: path[key] for key in ("packets", "lost", "cut", "unsolicited", "refused")},
            }
            for path in stats["paths"]
        ],
        "inside": f"every node: bus ws://{LOCAL_BUS}, http {LOCAL_HTTP}, in its own namespace",
    }


def run(scenario_name: str) -> dict[str, Any]:
    """Build the scenario's lab, run it, take it down; `ok` says whether everything held within its limits."""
    namespaces.require()
    name, script, topology_name, plan = scenario.read(scenario_name)
    plan = _with_outbound_only(plan, script)
    files = LabFiles()
    began = time.monotonic()
    with _ended_by_signals(), files.locked():
        _tell(f"{name}: {script.says}")
        state = build(files, topology_name, plan)
        keep = False
        try:
            built_s = time.monotonic() - began
            _tell(f"{topology_name} is up after {built_s:.1f} s")
            story = Story(files, state, _tell)
            held = asyncio.run(story.run(script.steps))
            measures = figures(story.measures, script.limits)
            ok = held and all(row["ok"] for row in measures)
            keep = not ok and bool(os.environ.get(KEEP_VARIABLE))
        finally:
            if not keep:
                with _undisturbed():
                    tear_down(files)
    report = {
        "scenario": name,
        "says": script.says,
        "topology": topology_name,
        "ok": ok,
        "up_after_s": round(built_s, 1),
        "took_s": round(time.monotonic() - began, 1),
        "steps": story.steps,
        "traffic": story.traffic(),
        "measures": measures,
    }
    return {**report, "kept": str(files.root)} if keep else report


def down() -> dict[str, Any]:
    """Take the lab down, whatever is left of it; how much there was."""
    namespaces.require()
    files = LabFiles()
    with files.locked(), _undisturbed():
        return {"lab": files.name, **tear_down(files)}


def _up() -> LabFiles:
    """The files of the lab that is up. Raises NotRunning."""
    files = LabFiles()
    if not files.exists:
        raise NotRunning("lab.not-up", "no lab is up here; one needs to be", hint="arqon lab up star3")
    return files


def _process_state(state: State, node: str) -> str:
    process = state.nodes.get(node)
    return "not started" if process is None else "running" if process.alive else "ended"


def _with_outbound_only(plan: topology.Topology, script: scenario.Scenario) -> topology.Topology:
    import msgspec

    return msgspec.structs.replace(plan, outbound_only=(*plan.outbound_only, *script.outbound_only))


def _tell(line: str) -> None:
    """Progress, on standard error: standard output is the answer's."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: with everything taken down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """While a lab is taken down, a second Ctrl-C waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
