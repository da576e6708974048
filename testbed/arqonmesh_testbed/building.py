"""A lab built up in order and taken down in any state: namespaces, switch, nodes, mesh."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from arqonmesh.config.datadir import DataDir
from arqonmesh.errors import ArqonError, UsageError
from arqonmesh_testbed import namespaces, processes
from arqonmesh_testbed.nodes import Nodes
from arqonmesh_testbed.processes import MARK, Process
from arqonmesh_testbed.state import FORMAT, LabFiles, State
from arqonmesh_testbed.switch_process import start
from arqonmesh_testbed.topology import Topology

MESH: Final = "lab"
LOOKS_MAX: Final = 5


def build(files: LabFiles, topology_name: str, topology: Topology) -> State:
    """Build everything; what was built is taken down again when something fails. Holds no lock: `lab.py` does."""
    namespaces.require()
    if files.exists:
        raise UsageError("lab.is-up", f"a lab stands in {files.root}; it needs to be down first", hint="arqon lab down")
    tear_down(files)  # namespaces or processes that a killed command left without a directory
    state = State(
        v=FORMAT,
        name=files.name,
        topology_name=topology_name,
        topology=topology,
        since_ms=time.time_ns() // 1_000_000,
    )
    try:
        files.create()
        files.save(state)
        descriptors: dict[str, int] = {}
        try:
            for node in topology.nodes:
                namespace = namespaces.name_of(files.name, node)
                descriptors[node] = namespaces.create(namespace, topology.address(node))
            state.switch = _start_switch(files, topology, descriptors)
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)  # the switch holds its own
        files.save(state)
        nodes = Nodes(files, topology)
        state.nodes, state.ids = nodes.start()
        files.save(state)
        nodes.join(MESH)
        state.up = True
        files.save(state)
    except BaseException:
        tear_down(files)
        raise
    return state


def tear_down(files: LabFiles) -> dict[str, int]:
    """End every process of the lab, remove every namespace and file; what was there. Fine to repeat, in any state."""
    state = None
    with contextlib.suppress(ArqonError):
        state = files.load()
    ended: dict[Process, None] = {}
    killed = namespaces_removed = 0
    # Twice at least: what an interrupted command was just starting shows up in the second look.
    for look in range(LOOKS_MAX):
        living = _living(files, state)
        left = namespaces.of_lab(files.name)
        if look >= 2 and not living and not left:
            break
        ended.update(dict.fromkeys(living))
        killed += processes.end(living)
        for namespace in left:
            namespaces.remove(namespace)
        namespaces_removed += len(left)
    if state is not None:
        for node in state.topology.nodes:
            _forget_socket(files, node)
    files.remove()
    return {"processes": len(ended), "killed": killed, "namespaces": namespaces_removed}


def _living(files: LabFiles, state: State | None) -> list[Process]:
    """The lab's processes: those written down, and those that carry its mark."""
    written = [] if state is None else [*state.nodes.values(), *([state.switch] if state.switch else [])]
    found = dict.fromkeys([*(process for process in written if process.alive), *processes.marked(files.name)])
    return list(found)


def _start_switch(files: LabFiles, topology: Topology, descriptors: dict[str, int]) -> Process:
    specification = {
        "seed": 1,
        "socket": str(files.switch_socket),
        "nodes": {node: topology.address(node) for node in topology.nodes},
        "descriptors": descriptors,
        "links": [{"between": link.between, "model": topology.model_of(link)} for link in topology.links],
        "outbound_only": topology.outbound_only,
    }
    switch = start(specification, files.switch_log, {MARK: files.name})
    process = Process.of(switch.pid)
    switch.returncode = 0  # it outlives this command on purpose; its end is init's to reap
    if process is None:
        raise ArqonError("lab.switch-died", f"the switch ended right after its start; {files.switch_log} says more")
    return process


def _forget_socket(files: LabFiles, node: str) -> None:
    """A control socket that stands outside the data directory, because the path was too long, goes too."""
    path = DataDir(files.node(node)).control_socket
    if files.root not in path.parents:
        with contextlib.suppress(OSError):
            path.unlink()
