"""The telemetry server: a WebSocket listener of its own, its clients, and the one timer that sends batches.

Nothing in here raises to who calls it from the bus. A port that is taken is tried again every `RETRY_S`; a failure
while sending is counted, logged once, and the next batch is tried; both are told by `health` until they are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from picows import WSCloseCode, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.handshake import TurnedAway, judge
from arqonmesh.bridge.listening import why_not
from arqonmesh.bridge.picows_server import Acceptor
from arqonmesh.bridge.telemetry.events import FRAME_BYTES_MAX, TelemetryEvent, TelemetryRefusal
from arqonmesh.bridge.telemetry.feed import Feed
from arqonmesh.bridge.telemetry.filters import Filter, filter_of
from arqonmesh.bridge.telemetry.hub import Hub
from arqonmesh.config.model import BusSettings, TelemetrySettings
from arqonmesh.core.bus.credentials import NOT_AUTHENTICATED
from arqonmesh.core.kernel import SECOND, Instant

RETRY_S: Final = 10.0
SWEEP_S: Final = 20.0
CLOSE_GRACE_S: Final = 0.5
_AFTER_FAILURE_S: Final = 1.0
NO_HEADERS: Final[Mapping[str, str]] = {}

_log = logging.getLogger("arqonmesh.bridge.telemetry")
_encode = msgspec.json.Encoder().encode


class TelemetryServer:
    """Sends what `hub` holds to whoever wants it. `take`, `tell` and `take_from_bus` may be called from anywhere.

    Handshakes are judged as those of the bus: its origins, tokens and keys.
    """

    def __init__(
        self,
        hub: Hub,
        settings: TelemetrySettings,
        bus: BusSettings,
        authenticator: Authenticator | None = None,
        *,
        now: Callable[[], Instant],
        retry_s: float = RETRY_S,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self.hub = hub
        self.settings = settings
        self.now = now
        self.counters: Counter[str] = Counter()
        """sent (event and client), missed (as well), failures, and one per reason for which a client was refused."""
        self.failure = ""
        """What is wrong at the moment; empty when all is well."""
        self._bus = bus
        self._authenticator = authenticator or Authenticator(bus)
        self._retry_s = retry_s
        self._sweep_s = sweep_s
        self._feeds: dict[Feed, None] = {}
        self._acceptor = Acceptor(self._accept, self.refused, FRAME_BYTES_MAX)
        self._server: asyncio.Server | None = None
        self._where: tuple[str, int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Instant = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._retry: asyncio.Task[None] | None = None
        self._emptied: asyncio.Event | None = None
        self._closed = False

    def adopt(self, settings: TelemetrySettings, bus: BusSettings) -> None:
        """Other settings from now on; `rate_per_s` counts from the next connection."""
        self.settings, self._bus = settings, bus
        self.hub.adopt(settings)

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Listen; when the address cannot be had, say so in `health` and try again for ever."""
        self._loop = asyncio.get_running_loop()
        self._where = (host, port)
        if not await self._listen():
            self._retry = asyncio.create_task(self._try_again())
        self._sweeper = self._loop.call_later(self._sweep_s, self._sweep)
        self._arm()

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens; None while it does not."""
        if self._server is None or not self._server.sockets:
            return None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    @property
    def client_count(self) -> int:
        return len(self._feeds)

    def health(self) -> dict[str, Any]:
        """ok, state (off, listening, failed), and what there is to know."""
        state = "off" if self._where is None else "failed" if self.failure else "listening"
        return {
            "ok": not self.failure,
            "state": state,
            "reason": self.failure,
            "clients": len(self._feeds),
            "waiting_events": len(self.hub),
            "dropped_events": self.hub.counters["dropped"],
            "missed_events": self.counters["missed"],
        }

    async def close(self) -> None:
        """Say 1001 to everyone and be gone; what waits is not waited for."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
            await asyncio.gather(self._retry, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        for feed in list(self._feeds):
            feed.close(WSCloseCode.GOING_AWAY, "the node stops")
        if self._feeds:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_GRACE_S):
                    await self._emptied.wait()
        for feed in list(self._feeds):
            feed.raw.abort()

    # --- in --------------------------------------------------------------------------------------------------

    def take(self, event_type: str, payload: bytes, *, source: str, stream: str) -> None:
        """An event. Never raises."""
        if self._where is None:
            return
        try:
            self.hub.take(self.now(), event_type, payload, source=source, stream=stream)
            self._arm()
        except Exception as wrong:
            self._failed("an event could not be taken", wrong)

    def tell(
        self, event_type: str, payload: dict[str, Any], *, source: str = "", stream: str, tenant: str = ""
    ) -> None:
        """An event of the node's own; `tenant`: about whose client, for operators alone. Never raises."""
        if self._where is None:
            return
        try:
            self.hub.tell(self.now(), event_type, payload, source=source, stream=stream, tenant=tenant)
            self._arm()
        except Exception as wrong:
            self._failed("an event could not be taken", wrong)

    def take_from_bus(self, stream: str, frames: tuple[bytes, ...]) -> None:
        """Frames of a bus channel of a standard stream's name. Never raises."""
        if self._where is None:
            return
        try:
            self.hub.take_from_bus(self.now(), stream, frames)
            self._arm()
        except Exception as wrong:
            self._failed("a frame of the bus could not be taken", wrong)

    # --- out -------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """See to it that the timer fires in time for what is due."""
        if self._loop is None or self._closed:
            return
        deadline = self.hub.next_deadline()
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        delay_s = max(0, deadline - self.now()) / SECOND
        self._timer = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        """Send one batch; the loop turns before the next."""
        self._timer = None
        assert self._loop is not None
        try:
            now = self.now()
            self.hub.on_timer(now)
            self._distribute(self.hub.drain(now))
            if self._server is not None:
                self.failure = ""
            self._arm()
        except Exception as wrong:
            self._failed("a batch could not be sent", wrong)
            if not self._closed:
                self._timer = self._loop.call_later(_AFTER_FAILURE_S, self._tick)

    def _distribute(self, batch: list[TelemetryEvent]) -> None:
        """To each client what it wants; clients that want the same share the work."""
        if not batch or not self._feeds:
            return
        encoded: dict[str, bytes] = {}
        selected: dict[tuple[Filter, bool], list[bytes]] = {}
        public = [event for event in batch if not event.tenant]
        for feed in list(self._feeds):
            if not feed.listening:
                continue
            operator = feed.identity.via != "anonymous" and feed.identity.at_least("admin")
            frames = selected.get((feed.wanted, operator))
            if frames is None:
                chosen = filter(feed.wanted.takes, batch if operator else public)
                frames = selected[feed.wanted, operator] = list(_encoded(chosen, encoded))
            if frames:
                feed.send([_batch_of(frames)] if feed.batch else frames, len(frames))

    # --- clients ---------------------------------------------------------------------------------------------

    def joined(self, feed: Feed) -> None:
        self._feeds[feed] = None
        feed.say(
            "welcome",
            welcome="Connected to ArqonMesh telemetry",
            node=self.hub.origin.node,
            cluster=self.hub.origin.cluster,
            listening=feed.listening,
            batch=feed.batch,
            **feed.wanted._asdict(),
        )

    def left(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)
        if self._emptied is not None and not self._feeds:
            self._emptied.set()

    def refused(self, reason: str, address: str) -> None:
        self.counters[reason] += 1

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Judge a handshake request."""
        headers = request.headers
        judged = judge(request.path, headers, self._bus, self._authenticator)
        if isinstance(judged, TurnedAway):
            self.refused(judged.reason or "bad-handshake", "")
            return _refusal(judged.status, judged.code, judged.message, judged.headers, judged.hint)
        headers["Connection"], headers["Upgrade"] = "Upgrade", "websocket"  # judged; picows is stricter than the RFC
        if self._closed or len(self._feeds) >= self.settings.clients_max:
            self.refused("clients-max", "")
            return _refusal(503, "telemetry.clients-max", f"{len(self._feeds)} clients are connected, the most")
        query = judged.query
        try:
            wanted = _wanted(query)
        except TelemetryRefusal as wrong:
            self.refused("bad-target", "")
            return _refusal(400, "telemetry.filter", str(wrong))
        if judged.identity.tenant:
            self.refused("auth", "")
            none = "telemetry is of all tenants, so none of them may see it"
            return _refusal(403, "telemetry.tenant", none, hint="show a token or key of no tenant")
        batch = query.get("batch", ["0"])[-1] in ("1", "true", "yes")
        feed = Feed(self, wanted, batch, judged.identity)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(None), feed)

    def _sweep(self) -> None:
        assert self._loop is not None
        self._sweeper = self._loop.call_later(self._sweep_s, self._sweep)
        self.look_at_credentials()
        for feed in list(self._feeds):
            feed.look_after(self._loop.time())

    def look_at_credentials(self) -> None:
        """Close whoever is let in no more."""
        for feed in list(self._feeds):
            if ended := self._authenticator.ended(feed.identity):
                feed.cut_off(ended.removeprefix("bus."), NOT_AUTHENTICATED, f"{ended}: show a newer token or key")

    # --- failures --------------------------------------------------------------------------------------------

    async def _listen(self) -> bool:
        assert self._where is not None
        try:
            self._server = await self._acceptor.listen(*self._where)
        except OSError as wrong:
            host, port = self._where
            sentence = f"telemetry cannot listen on {host}:{port}: {why_not(wrong)}; set listen.telemetry"
            if self.failure != sentence:
                _log.warning("%s. The bus goes on without it", sentence)
            self.failure = sentence
            return False
        self.failure = ""
        return True

    async def _try_again(self) -> None:
        while True:
            await asyncio.sleep(self._retry_s)
            if await self._listen():
                return

    @contextlib.contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """For whoever gathers telemetry: what fails in here is told by `health` and goes no further."""
        try:
            yield
        except Exception as wrong:
            self._failed(what, wrong)

    def _failed(self, what: str, wrong: Exception) -> None:
        self.counters["failures"] += 1
        sentence = f"{what}: {type(wrong).__name__}: {wrong}"[:200]
        if self.failure != sentence:
            self.failure = sentence
            _log.error("telemetry failed, the bus goes on: %s", sentence, exc_info=wrong)


def _encoded(events: Iterable[TelemetryEvent], known: dict[str, bytes]) -> Iterable[bytes]:
    for event in events:
        frame = known.get(event.id)
        if frame is None:
            frame = known[event.id] = _encode(event)
        yield frame


def _batch_of(frames: list[bytes]) -> bytes:
    return b'{"type":"telemetry_batch","count":%d,"events":[%b]}' % (len(frames), b",".join(frames))


def _wanted(query: Mapping[str, list[str]]) -> Filter | None:
    """`?eventType=a,b&source=x&stream=y`, repeated or joined by commas; None when nothing of it is there."""
    lists = [
        [part for text in query.get(name, []) for part in text.split(",") if part]
        for name in ("eventType", "source", "stream")
    ]
    return filter_of(*lists) if any(lists) else None


def _refusal(
    status: int, code: str, sentence: str, headers: Mapping[str, str] = NO_HEADERS, hint: str = ""
) -> WSUpgradeResponseWithListener:
    body = _encode({"error": {"code": code, "message": sentence, "hint": hint}})
    extra = {"Content-Type": "application/json", **headers}
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, body, extra), None)
