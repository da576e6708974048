"""All connections on the one socket: each datagram comes to its own, and what they have to say leaves once per tick.

    readable ─▶ route by connection id ─▶ process what was touched ─▶ tick ─▶ flush
    timer    ─▶ its own connection     ─▶ process it                       ─▶ flush
    mark     ─▶ flush in the next turn of the loop, unless one of the above is under way: then in its flush

Nothing else sends for a connection: many writes, and all that one wake-up sets off, share packets and system calls.
What the bytes mean is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arqonmesh.net.connection import Arrived
from arqonmesh.net.doorway import Doorway
from arqonmesh.net.entry import Entry
from arqonmesh.net.link_table import SUPERSEDED
from arqonmesh.net.timers import Timers
from arqonmesh.net.tls import CONNECTION_ID_BYTES
from arqonmesh.net.udp import PathAddr, UdpSocket


class Traffic:
    """Reads the socket from now on. What leads to no connection comes to the doorway.

    `process` looks at what a connection received, or at what its timer did, and what it was called for is flushed;
    `tick` is called when all that was readable has been processed.
    """

    def __init__(
        self,
        udp: UdpSocket,
        loop: asyncio.AbstractEventLoop,
        *,
        doorway: Doorway,
        process: Callable[[Entry, float], None],
        tick: Callable[[], None],
    ) -> None:
        self.entries: dict[Entry, None] = {}
        """Every connection there is, the oldest first."""
        self.timers = Timers(loop, due=self._on_timer, mark=self.mark)
        self._udp = udp
        self._loop = loop
        self._doorway = doorway
        self._process = process
        self._tick = tick
        self._by_id: dict[bytes, Entry] = {}
        self._touched: dict[Entry, None] = {}
        self._dirty: dict[Entry, None] = {}
        self._scheduled = False
        self._in_tick = False
        self._now = loop.time()
        """When the datagrams of this tick came in."""
        udp.attach(loop, self._readable)

    # --- which connections there are ----------------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """From now on its datagrams lead to it."""
        self.entries[entry] = None
        for connection_id in entry.connection.connection_ids:
            self._by_id[connection_id] = entry

    def reroute(self, entry: Entry, arrived: Arrived) -> None:
        """Its connection ids have changed."""
        for connection_id in arrived.issued:
            self._by_id[connection_id] = entry
        for connection_id in arrived.retired:
            self._by_id.pop(connection_id, None)

    def farewell(self, reason: str) -> None:
        """Say CONNECTION_CLOSE to everyone, now."""
        for entry in list(self.entries):
            entry.connection.close(reason)
            self._dirty[entry] = None
        self._flush(self._loop.time())

    def close(self) -> None:
        """Let go of the socket and of every timer, and tell nobody."""
        for entry in list(self.entries):
            self._remove(entry)
        self._dirty.clear()
        self._udp.close()

    def _remove(self, entry: Entry) -> None:
        self._doorway.settled(entry)
        self.timers.drop(entry)
        self.entries.pop(entry, None)
        self._touched.pop(entry, None)
        for connection_id in entry.connection.connection_ids:
            self._by_id.pop(connection_id, None)

    # --- in -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        now = self._now = self._loop.time()
        self._in_tick = True
        try:
            self._udp.receive(self._route)
            touched, self._touched = self._touched, {}
            for entry in touched:
                self._dirty[entry] = None
                self._process(entry, now)
            self._tick()
        finally:
            self._in_tick = False
            self._flush(self._loop.time())

    def _route(self, datagram: bytes, path: PathAddr) -> None:
        if datagram[0] & 0x80:
            end = 6 + datagram[5] if len(datagram) > 6 else 0
            entry = self._by_id.get(datagram[6:end])
        else:
            entry = self._by_id.get(datagram[1 : 1 + CONNECTION_ID_BYTES])
        now = self._now
        if entry is None:
            self._doorway.knock(datagram, path, now)
            return
        if entry.connection.outbound and path[1] is not None:
            path = (path[0], None)
        entry.connection.receive(datagram, path, now)
        self._touched[entry] = None

    def _on_timer(self, entry: Entry) -> None:
        now = self._loop.time()
        self._in_tick = True
        try:
            entry.connection.on_timer(now)
            self._dirty[entry] = None
            self._process(entry, now)
        finally:
            self._in_tick = False
            self._flush(self._loop.time())

    def begin(self, entry: Entry, now: float) -> None:
        """What it brought when it was added is processed and answered at once."""
        self._dirty[entry] = None
        self._process(entry, now)
        self._flush(now)

    # --- out ----------------------------------------------------------------------------------------------

    def mark(self, entry: Entry) -> None:
        """This connection has something to send; one flush per tick takes care of it."""
        self._dirty[entry] = None
        if not self._scheduled and not self._in_tick:
            self._scheduled = True
            self._loop.call_soon(self._flush_tick)

    def transmit(self, entry: Entry, now: float) -> bool:
        """Hand over, build, send; whether there is more for the next tick."""
        connection, link = entry.connection, entry.link
        if link is not None and link.may_send(now):
            link.lanes.hand_over(connection)
        if entry.retirement is not None and entry.retirement.step(now):
            connection.close(SUPERSEDED)
        for path, datagrams in connection.flush(now):
            self._udp.send(datagrams, path)
        if connection.quic.has_events or connection.untold_end:
            self._dirty[entry] = None
            self._process(entry, now)
        return connection.more

    def _flush_tick(self) -> None:
        self._scheduled = False
        self._flush(self._loop.time())

    def _flush(self, now: float) -> None:
        dirty, self._dirty = self._dirty, {}
        again: list[Entry] = []
        for entry in dirty:
            if entry not in self.entries:
                continue
            if self.transmit(entry, now):
                again.append(entry)
            elif entry.connection.gone:
                self._remove(entry)
            else:
                self.timers.arm(entry)
        # What the flush itself set off (an end told, a batch cut) goes on in the next tick.
        for entry in (*again, *self._dirty):
            self.mark(entry)
