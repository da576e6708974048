"""Drives one `core.node.Node` on real links, disk and clients. The only place that touches the node.

    socket readable ─▶ Listener.frame ─▶ node.frame ─▶ effects, performed at once and in order
    client frames   ─▶ BusPort        ─▶ node.client_frames ─▶ ...
    disk            ─▶ Persisted      ─▶ node.persisted
    deadline        ─▶ node.on_timer
    end of the tick ─▶ node.end_tick  ─▶ one signed batch per link

Everything runs on the event loop's thread. An effect is performed by handing it to a room that queues (endpoint,
bridge, store), so nothing here waits and nothing re-enters the node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.events import ClientDrained, Dropped, HistoryRead, Late
from arqonmesh.core.kernel import (
    AwaitDrain,
    CloseClient,
    Connect,
    Delete,
    Deliver,
    Disconnect,
    Effect,
    Emit,
    Event,
    ForgetHistory,
    Instant,
    KeepFrames,
    Lane,
    Persist,
    Put,
    ReadHistory,
    Send,
    Throttle,
)
from arqonmesh.core.node import Node
from arqonmesh.ids import ClientId, NodeId
from arqonmesh.net.api import Endpoint, LinkInfo
from arqonmesh.wire.codec import encode_message

LATE_AFTER_US: Final = 50_000
"""A deadline met later than this was missed by our own process, not by a peer."""
MOVED_US: Final = 10_000
"""A timer that would fire so much too early is moved: a few microseconds, where a wake-up for nothing costs fifty."""


def monotonic_us() -> Instant:
    return time.monotonic_ns() // 1_000


class Writer(Protocol):
    """The part of the store that the host needs."""

    def persist(self, writes: tuple[Put | Delete, ...], *, sync: bool, done: Callable[[], None] | None) -> None: ...


class ClientSide(Protocol):
    """The part of the WebSocket bridge that the host needs."""

    def deliver(self, clients: tuple[ClientId, ...], frames: tuple[bytes, ...]) -> None: ...
    def throttle(self, clients: tuple[ClientId, ...], paused: bool) -> None: ...
    def await_drain(self, client: ClientId) -> None: ...
    def close_client(self, client: ClientId, code: int, reason: str) -> None: ...


class Past(Protocol):
    """The part of the durable history that the host needs."""

    answered: Callable[[HistoryRead], None]

    def keep(self, effect: KeepFrames) -> None: ...
    def forget(self, effect: ForgetHistory) -> None: ...
    def read(self, effect: ReadHistory) -> None: ...


class Host:
    """Implements net.Listener and bridge.BusPort; performs what the node decides."""

    def __init__(
        self,
        node: Node,
        store: Writer,
        past: Past | None = None,
        *,
        clock: Callable[[], Instant] = monotonic_us,
        timer_fired: Callable[[Instant, Instant], None] | None = None,
    ) -> None:
        """`past` is needed by a node that was told that its history is durable; `timer_fired` hears, whenever the
        node's timer fires, when that is and when it was due."""
        self.node = node
        self._store = store
        self._past = past
        if past is not None:
            past.answered = self._history_read
        self._clock = clock
        self._endpoint: Endpoint | None = None
        self._clients: ClientSide | None = None
        self._loop = asyncio.get_running_loop()
        self._flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Instant = 0
        self._timer_fired = timer_fired
        self._closed = False
        self._watchers: dict[type[Event], list[Callable[[Event], None]]] = {}
        self.refusals: dict[str, int] = {}
        """Connections refused before they became links, by reason; reasons are a fixed set of codes."""
        self.refusal_told: Callable[[str, str, str], None] | None = None
        """Hears of each of them: reason, address, sentence."""
        self.unsent: int = 0
        """Messages that the endpoint did not take: the link went, or its lane was full."""
        self._perform: dict[type[Effect], Callable[..., None]] = {
            Send: self._send,
            Persist: self._persist,
            Deliver: self._deliver,
            Throttle: self._throttle,
            AwaitDrain: self._await_drain,
            CloseClient: self._close_client,
            KeepFrames: self._keep,
            ForgetHistory: self._forget_history,
            ReadHistory: self._read_history,
            Emit: self._emit,
            Connect: self._connect,
            Disconnect: self._disconnect,
        }

    def attach(self, endpoint: Endpoint | None, clients: ClientSide | None) -> None:
        """Where effects go; before this, sends and deliveries have nowhere to go and are counted."""
        self._endpoint = endpoint
        self._clients = clients

    def watch(self, event_type: type[Event], watcher: Callable[[Event], None]) -> None:
        """Be told of every event of this exact type that leaves the node. Watchers must not call back into it."""
        self._watchers.setdefault(event_type, []).append(watcher)

    def unwatch(self, event_type: type[Event], watcher: Callable[[Event], None]) -> None:
        self._watchers[event_type].remove(watcher)

    def close(self) -> None:
        """End the last tick, so that what it has to write is written; then no more inputs, timers or effects."""
        self._end_tick()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def now(self) -> Instant:
        return self._clock()

    def perform(self, effects: Iterable[Effect]) -> None:
        """Perform in order, then see to the tick's end and the next deadline."""
        table = self._perform
        for effect in effects:
            table[type(effect)](effect)
        self._touch()

    # --- net.Listener -------------------------------------------------------------------------------------

    def link_up(self, peer: NodeId, link: LinkInfo) -> None:
        self.perform(self.node.transport_up(self._clock(), peer, link.transport, outbound=link.outbound))

    def link_down(self, peer: NodeId, reason: str) -> None:
        self.perform(self.node.transport_down(self._clock(), peer, reason))

    def frame(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        self.perform(self.node.frame(self._clock(), peer, lane, data))

    def tick(self) -> None:
        self._touch()

    def refused(self, reason: str, address: str, sentence: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        if self.refusal_told is not None:
            self.refusal_told(reason, address, sentence)

    # --- bridge.BusPort -----------------------------------------------------------------------------------

    def new_client_id(self) -> ClientId:
        return self.node.bus.new_client_id()

    def client_connected(self, client: ClientId, info: ClientInfo) -> None:
        self.perform(self.node.client_connected(self._clock(), client, info))

    def client_frames(self, client: ClientId, frames: Sequence[bytes]) -> None:
        self.perform(self.node.client_frames(self._clock(), client, frames))

    def client_disconnected(self, client: ClientId) -> None:
        self.perform(self.node.client_disconnected(self._clock(), client))

    def client_drained(self, client: ClientId) -> None:
        if not self._closed:
            self.perform(self.node.event(self._clock(), ClientDrained(client)))

    def gap_notice(self, client: ClientId, missing: int) -> bytes:
        return self.node.bus.gap_notice(client, missing)

    def dropped(self, event: Dropped) -> None:
        self.perform((Emit(event),))

    # --- effects ------------------------------------------------------------------------------------------

    def _send(self, effect: Send) -> None:
        endpoint = self._endpoint
        if endpoint is None or not endpoint.send(effect.to, effect.lane, encode_message(effect.message)):
            self.unsent += 1

    def _persist(self, effect: Persist) -> None:
        done = None if effect.token < 0 else partial(self._persisted, effect.token)
        self._store.persist(effect.writes, sync=effect.sync, done=done)

    def _persisted(self, token: int) -> None:
        if not self._closed:
            self.perform(self.node.persisted(self._clock(), token))

    def _keep(self, effect: KeepFrames) -> None:
        assert self._past is not None
        self._past.keep(effect)

    def _forget_history(self, effect: ForgetHistory) -> None:
        assert self._past is not None
        self._past.forget(effect)

    def _read_history(self, effect: ReadHistory) -> None:
        assert self._past is not None
        self._past.read(effect)

    def _history_read(self, event: HistoryRead) -> None:
        if not self._closed:
            self.perform(self.node.event(self._clock(), event))

    def _deliver(self, effect: Deliver) -> None:
        if self._clients is not None:
            self._clients.deliver(effect.clients, effect.frames)

    def _throttle(self, effect: Throttle) -> None:
        if self._clients is not None:
            self._clients.throttle(effect.clients, effect.paused)

    def _await_drain(self, effect: AwaitDrain) -> None:
        if self._clients is not None:
            self._clients.await_drain(effect.client)

    def _close_client(self, effect: CloseClient) -> None:
        if self._clients is not None:
            self._clients.close_client(effect.client, effect.code, effect.reason)

    def _emit(self, effect: Emit) -> None:
        watchers = self._watchers.get(type(effect.event))
        if watchers is not None:
            for watcher in tuple(watchers):
                watcher(effect.event)

    def _connect(self, effect: Connect) -> None:
        if self._endpoint is not None:
            self._endpoint.want(effect.peer, effect.addresses)

    def _disconnect(self, effect: Disconnect) -> None:
        if self._endpoint is not None:
            if effect.forget:
                self._endpoint.forget(effect.peer)
            self._endpoint.disconnect(effect.peer, effect.reason)

    # --- time ---------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        """An input was handled. A tick that has something to end ends after this turn of the loop, with all that comes
        until then, and the timer is set after that; an idle node's heartbeats are spared that turn."""
        if self._flush_due or self._closed:
            return
        if self.node.tick_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        else:
            self._rearm()

    def _flush(self) -> None:
        """End the tick: everything that arrived in this turn of the loop shares its batches."""
        self._flush_due = False
        if self._closed:
            return
        self._end_tick()
        self._rearm()

    def _end_tick(self) -> None:
        table = self._perform
        for effect in self.node.end_tick(self._clock()):
            table[type(effect)](effect)

    def _rearm(self) -> None:
        deadline = self.node.next_deadline()
        if deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        if self._timer is not None:
            if deadline - MOVED_US <= self._timer_at <= deadline:
                return  # fires early, does nothing, and arms itself again
            self._timer.cancel()
        self._timer_at = deadline
        delay_s = max(0, deadline - self._clock()) / 1_000_000
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._closed:
            return
        now = self._clock()
        if self._timer_fired is not None:
            self._timer_fired(now, self._timer_at)
        deadline = self.node.next_deadline()
        if deadline is not None and now - deadline > LATE_AFTER_US:
            self.perform(self.node.event(now, Late(now - deadline)))
        self.perform(self.node.on_timer(now))
