"""The switch's loop, over socket pairs: real descriptors and real time, no rights needed."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from arqonmesh.errors import ConfigError, NotFound, NotRunning
from arqonmesh_testbed.switch_control import order

from .packets import fabric_abc, packet, running


def _silent(end: socket.socket) -> bool:
    """Whether nothing more has come; asked after a later packet on the same path has arrived."""
    end.setblocking(False)
    try:
        end.recv(2048)
    except BlockingIOError:
        return True
    finally:
        end.settimeout(5)
    return False


def test_packets_pass_whole_in_order_and_not_before_their_time() -> None:
    """20 ms one way: 500 packets arrive unchanged, in order, none early."""
    with running(fabric_abc(delay_us=20_000)) as (_, ends):
        sent = [packet("a", "b", b"%d" % n) for n in range(500)]
        began = time.monotonic()
        for data in sent[:1]:
            ends["a"].send(data)
        assert ends["b"].recv(2048) == sent[0]
        assert time.monotonic() - began >= 0.020
        for start in range(1, 500, 50):
            for data in sent[start : start + 50]:
                ends["a"].send(data)
            assert [ends["b"].recv(2048) for _ in sent[start : start + 50]] == sent[start : start + 50]


def test_a_duplicate_arrives_twice() -> None:
    """duplicate_ppm of a million doubles each."""
    with running(fabric_abc(delay_us=100, duplicate_ppm=1_000_000)) as (_, ends):
        data = packet("a", "b", b"x")
        ends["a"].send(data)
        assert [ends["b"].recv(2048), ends["b"].recv(2048)] == [data, data]


def test_orders_over_the_socket_cut_heal_and_count(tmp_path: Path) -> None:
    """A cut over the control socket loses silently; heal lets pass again; the counts tell."""
    control = tmp_path / "switch.sock"
    with running(fabric_abc(delay_us=100)) as (switch, ends):
        switch.listen(control)
        assert control.stat().st_mode & 0o777 == 0o600
        cut = order(control, "cut", a="a", b="b", one_way=True)
        assert abs(cut["at_ms"] - time.time() * 1e3) < 5_000
        ends["a"].send(packet("a", "b", b"gone"))
        ends["b"].send(packet("b", "a", b"back"))
        assert ends["a"].recv(2048).endswith(b"back")
        assert order(control, "heal")["healed"] == 1
        ends["a"].send(packet("a", "b", b"here"))
        assert ends["b"].recv(2048).endswith(b"here")
        assert _silent(ends["b"])
        path = next(p for p in order(control, "stats")["paths"] if (p["from"], p["to"]) == ("a", "b"))
        assert (path["packets"], path["cut"], path["lost"]) == (2, 1, 0)
        changed = order(control, "model", **{"from": "a", "to": "b", "changes": {"delay_us": 5}})
        assert changed["model"]["delay_us"] == 5
        assert order(control, "outbound_only", node="c", on=True) == {"node": "c", "outbound_only": True}
    assert not control.exists()


def test_orders_that_make_no_sense_are_answered_and_hurt_nobody(tmp_path: Path) -> None:
    """Each wrong line gets an error with a code; the next right one works."""
    control = tmp_path / "switch.sock"
    with running(fabric_abc()) as (switch, _):
        switch.listen(control)
        with pytest.raises(ConfigError):
            order(control, "explode")
        with pytest.raises(NotFound, match="no node 'zz'"):
            order(control, "cut", a="zz", b="b")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(control))
            for line in (b"rubbish", b"[1]", b"[" * 60_000, b'{"op": ["cut"]}'):
                client.sendall(line + b"\n")
                assert json.loads(client.makefile().readline())["code"] == "lab.order"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(control))
            with contextlib.suppress(ConnectionError):  # cut off in the middle
                client.sendall(b"x" * 200_000)
                assert client.recv(100) == b""
        assert order(control, "stats")["underway"] == 0


def test_a_node_that_is_gone_leaves_the_others_connected() -> None:
    """A closed descriptor is forgotten; packets to it are counted as refused."""
    with running(fabric_abc()) as (switch, ends):
        ends["c"].close()
        ends["b"].send(packet("b", "c", b"to nobody"))
        ends["b"].send(packet("b", "a", b"to somebody"))
        assert ends["a"].recv(2048).endswith(b"to somebody")
        assert switch.fabric.path("b", "c").refused == 1


def test_a_switch_that_is_gone_is_told_with_the_command_that_clears_up(tmp_path: Path) -> None:
    """Exit code 3, and what to type."""
    with pytest.raises(NotRunning) as missing:
        order(tmp_path / "none.sock", "heal")
    assert missing.value.code == "lab.not-up"
    assert missing.value.hint == "arqon lab down"
