"""The newest events of a node: a ring, and watchers that cannot hold it up."""

from __future__ import annotations

import pytest

from arqonmesh.runtime import event_log
from arqonmesh.runtime.event_log import EventLog


async def test_a_watcher_sees_what_was_and_then_what_comes() -> None:
    """The ring first, oldest to newest, then live."""
    log = EventLog(lambda: 5)
    log.add("link", "before")
    watcher = log.watch()
    assert (await anext(watcher)).text == "before"

    log.add("member", "after", node="n1")

    event = await anext(watcher)
    assert (event.kind, event.text, event.fields, event.at_ms) == ("member", "after", {"node": "n1"}, 5)


async def test_a_slow_watcher_loses_its_oldest_and_is_told_how_many() -> None:
    """Its queue is bounded; nobody else waits for it."""
    log = EventLog(lambda: 0)
    watcher = log.watch()
    log.add("node", "first")
    assert (await anext(watcher)).text == "first"
    for number in range(event_log.QUEUE_MAX + 3):
        log.add("node", str(number))

    assert (await anext(watcher)).fields == {"lost": "3"}
    assert (await anext(watcher)).text == "3"


async def test_closing_ends_every_watcher() -> None:
    """A stopping node leaves no stream open."""
    log = EventLog(lambda: 0)
    log.add("node", "last")
    watcher = log.watch()
    await anext(watcher)
    log.close()

    assert [event async for event in watcher] == []


async def test_however_many_watch_the_node_goes_on_writing_its_own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest guest is ended, never a watcher that is part of the node."""
    monkeypatch.setattr(event_log, "WATCHERS_MAX", 2)
    log = EventLog(lambda: 0)
    log.add("node", "first")
    own, *guests = [log.watch(lasting=True), *(log.watch() for _ in range(3))]
    for watcher in (own, *guests):
        await anext(watcher)
    log.add("node", "second")

    assert (await anext(own)).text == "second"
    assert [[event.text async for event in guests[0]], (await anext(guests[2])).text] == [[], "second"]
