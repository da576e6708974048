"""What a client is made of: names, refusals, back-off within its bounds."""

from __future__ import annotations

import random

import pytest
from msgspec import Raw

from arqonmesh.client import Gap, Message, Resumed
from arqonmesh.client.endpoints import (
    RECONNECT_LOCAL_MAX_S,
    RECONNECT_MAX_S,
    RECONNECT_MIN_S,
    STEADY_S,
    Endpoints,
)
from arqonmesh.client.message import read
from arqonmesh.client.positions import Positions, matches
from arqonmesh.client.resume import resumed_of
from arqonmesh.errors import ArqonError


def event(epoch: str, offset: int) -> Message:
    return Message("event", room="a", channel_="b", payload_=Raw(b"1"), epoch=epoch, offset=offset)


def test_an_event_without_a_stream_is_always_new() -> None:
    """What a node without counting says, or another cluster."""
    positions = Positions()
    assert all(positions.advance("a:b", event("", 0)) for _ in range(3))
    assert not positions.known("a:b")


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [("a:*", {"a:b", "a:c"}), ("*:b", {"a:b", "d:b"}), ("*", {"a:b", "a:c", "d:b"}), ("a:b", {"a:b"})],
)
def test_a_pattern_takes_whole_rooms_and_whole_channels(pattern: str, taken: set[str]) -> None:
    """As the bus reads them."""
    assert {channel for channel in ("a:b", "a:c", "d:b") if matches(pattern, channel)} == taken


def test_an_answer_of_a_node_that_keeps_no_count_is_no_promise() -> None:
    """Neither recovered nor not."""
    assert resumed_of("a:b", "u", {"success": True}) == Resumed("a:b", None, url="u")
    told = resumed_of("a:b", "u", {"recovered": False, "gaps": [{"epoch": "x", "first": 3, "last": None}], "missed": 2})
    assert told == Resumed("a:b", False, (Gap("x", 3, None),), 2, "u")


def test_a_lost_client_goes_round_all_nodes_before_it_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is drawn evenly below a bound that doubles once per round, up to its limit."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    endpoints = Endpoints(["ws://a", "ws://b"])
    endpoints.lost(STEADY_S)
    assert (endpoints.current, endpoints.wait_s()) == ("ws://b", RECONNECT_MIN_S)
    endpoints.failed()
    assert (endpoints.current, endpoints.wait_s()) == ("ws://a", RECONNECT_MIN_S)
    endpoints.failed()
    assert endpoints.wait_s() == 2 * RECONNECT_MIN_S
    for _ in range(100):
        endpoints.failed()
    assert endpoints.wait_s() == RECONNECT_MAX_S
    monkeypatch.setattr(random, "random", lambda: 0.25)
    assert endpoints.wait_s() == RECONNECT_MAX_S / 4
    endpoints.lost(0.1)
    assert endpoints.wait_s() == RECONNECT_MAX_S / 4, "a node that takes clients and drops them is no node that works"
    endpoints.lost(STEADY_S)
    assert endpoints.wait_s() == RECONNECT_MIN_S / 4


@pytest.mark.parametrize(
    ("url", "most_s"),
    [
        ("ws://127.0.0.1:9100", RECONNECT_LOCAL_MAX_S),
        ("127.9.9.9:1/t/acme", RECONNECT_LOCAL_MAX_S),
        ("ws://localhost:9100", RECONNECT_LOCAL_MAX_S),
        ("wss://[::1]:9100", RECONNECT_LOCAL_MAX_S),
        ("ws://10.0.0.1:9100", RECONNECT_MAX_S),
        ("wss://localhost.example.org", RECONNECT_MAX_S),
        ("ws://[fe80::1]:9100", RECONNECT_MAX_S),
    ],
)
def test_a_node_on_this_machine_is_knocked_at_more_often(
    url: str, most_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of some seconds its clients are back within one, and not all at once."""
    endpoints = Endpoints(url)
    for _ in range(100):
        endpoints.failed()
    monkeypatch.setattr(random, "random", lambda: 1.0)
    assert endpoints.wait_s() == most_s
    monkeypatch.setattr(random, "random", lambda: 0.25)
    assert endpoints.wait_s() == most_s / 4


def test_what_the_bus_should_know_of_a_client_goes_with_the_address() -> None:
    """Beside what stands there already."""
    endpoints = Endpoints("127.0.0.1:9100/t?x=1", name="é b", kind="service")
    assert endpoints.target == "ws://127.0.0.1:9100/t?x=1&name=%C3%A9%20b&type=service"


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b'{"deep":[1,1e400]}', b"1" * 5_000])
def test_what_python_has_no_value_for_is_an_error_that_says_so(number: bytes) -> None:
    """The bus carries any JSON number; the application's loop gets one of our errors, and the text as it came."""
    frame = b'{"type":"event","id":"arq_1","room":"a","channel":"b","from":"x","payload":%b,"metadata":%b}'
    message = read(frame % (number, number))
    assert message is not None
    for name in ("payload", "metadata"):
        with pytest.raises(ArqonError) as wrong:
            getattr(message, name)
        assert wrong.value.code == "bus.payload-unreadable"
        assert name in wrong.value.sentence and "arq_1" in wrong.value.sentence
    assert bytes(message.payload_) == number
