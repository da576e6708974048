"""Two kernels' worth of network, joined by the real switch process: UDP with delay, loss, cuts. Needs root."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arqonmesh_testbed import namespaces
from arqonmesh_testbed.switch_control import order
from arqonmesh_testbed.switch_process import start

pytestmark = pytest.mark.netns
SO_RCVBUFFORCE = 33
"""socket(7); Python has no name for it."""
NODES = {"a": "10.89.0.1", "b": "10.89.0.2"}


@dataclass
class Pair:
    switch: subprocess.Popen[bytes]
    control: Path
    a: socket.socket
    b: socket.socket

    def round_trip_ms(self) -> float | None:
        """a writes to b, b answers; None when either got lost."""
        began = time.monotonic()
        try:
            self.a.sendto(b"there", (NODES["b"], 7000))
            data, back = self.b.recvfrom(2048)
            self.b.sendto(data, back)
            self.a.recvfrom(2048)
        except TimeoutError:
            return None
        return (time.monotonic() - began) * 1e3


def _udp(lab: str, node: str) -> socket.socket:
    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        sock.bind((NODES[node], 7000))
        sock.settimeout(0.3)
        return sock

    return namespaces.inside(namespaces.name_of(lab, node), make)


@pytest.fixture
def pair(lab_name: str, tmp_path: Path) -> Iterator[Pair]:
    """a and b, 20 ms apart."""
    control = tmp_path / "switch.sock"
    with contextlib.ExitStack() as stack:
        descriptors = {}
        for node, address in NODES.items():
            namespace = namespaces.name_of(lab_name, node)
            descriptors[node] = namespaces.create(namespace, address)
            stack.callback(namespaces.remove, namespace)
            stack.callback(os.close, descriptors[node])
        specification = {
            "seed": 1,
            "socket": str(control),
            "nodes": NODES,
            "descriptors": descriptors,
            "links": [{"between": ["a", "b"], "model": {"delay_us": 20_000}}],
            "outbound_only": [],
        }
        switch = start(specification, tmp_path / "switch.log")
        stack.callback(switch.wait)
        stack.callback(switch.kill)
        a, b = _udp(lab_name, "a"), _udp(lab_name, "b")
        stack.callback(a.close)
        stack.callback(b.close)
        yield Pair(switch, control, a, b)


def test_twenty_milliseconds_one_way_make_forty_there_and_back(pair: Pair) -> None:
    """Never early; late by no more than what a busy machine takes."""
    times = [time_ms for time_ms in (pair.round_trip_ms() for _ in range(20)) if time_ms is not None]
    assert len(times) == 20
    assert min(times) >= 40.0
    assert statistics.median(times) < 60.0


def test_loss_is_per_direction(pair: Pair) -> None:
    """Half of what a sends is lost, nothing of what b sends."""
    order(pair.control, "model", **{"from": "a", "to": "b", "changes": {"delay_us": 0, "loss_ppm": 500_000}})
    order(pair.control, "model", **{"from": "b", "to": "a", "changes": {"delay_us": 0}})
    for _ in range(400):
        pair.a.sendto(b"x", (NODES["b"], 7000))
        pair.b.sendto(b"x", (NODES["a"], 7000))
    counts = dict.fromkeys((pair.a, pair.b), 0)
    for sock in counts:
        with contextlib.suppress(TimeoutError):
            while sock.recv(2048):
                counts[sock] += 1
    assert counts[pair.a] == 400
    assert 140 < counts[pair.b] < 260


def test_cut_one_way_cut_and_heal(pair: Pair) -> None:
    """Silent: no error reaches the sender; heal is enough to hear each other again."""
    order(pair.control, "cut", a="a", b="b", one_way=True)
    assert pair.round_trip_ms() is None
    pair.b.sendto(b"the other way", (NODES["a"], 7000))
    assert pair.a.recv(2048) == b"the other way"
    order(pair.control, "cut", a="a", b="b", one_way=False)
    pair.b.sendto(b"lost", (NODES["a"], 7000))
    with pytest.raises(TimeoutError):
        pair.a.recv(2048)
    order(pair.control, "heal")
    assert pair.round_trip_ms() is not None


def test_outbound_only_lets_answers_in_and_nothing_else(pair: Pair) -> None:
    """b cannot begin; once a has written to b, b can answer."""
    order(pair.control, "outbound_only", node="a", on=True)
    pair.b.sendto(b"unasked", (NODES["a"], 7000))
    with pytest.raises(TimeoutError):
        pair.a.recv(2048)
    assert pair.round_trip_ms() is not None


def test_a_killed_switch_leaves_silence_and_its_interfaces_go_with_it(pair: Pair, lab_name: str) -> None:
    """kill -9: the TUNs end with their last descriptor; what is left are the namespaces, by name."""
    pair.switch.send_signal(signal.SIGKILL)
    pair.switch.wait(5)
    assert namespaces.of_lab(lab_name) == [namespaces.name_of(lab_name, "a"), namespaces.name_of(lab_name, "b")]
    with contextlib.suppress(OSError):
        assert pair.round_trip_ms() is None


def test_removing_a_namespace_twice_or_one_half_made_is_fine(lab_name: str) -> None:
    """Clean-up is idempotent, also after a crash between the file and its mount."""
    namespace = namespaces.name_of(lab_name, "half")
    (namespaces.RUN_NETNS / namespace).touch()
    namespaces.remove(namespace)
    namespaces.remove(namespace)
    assert namespaces.of_lab(lab_name) == []


def test_namespaces_of_others_are_never_touched() -> None:
    """Only names with our prefix can be removed."""
    with pytest.raises(ValueError, match="not a namespace of a lab"):
        namespaces.remove("someone-elses")
