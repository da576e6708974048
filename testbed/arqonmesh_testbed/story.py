"""A scenario's steps, done one after the other to a lab that is up. What must hold is waited for, within its time."""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from arqonmesh.errors import ArqonError
from arqonmesh_testbed import namespaces, scenario
from arqonmesh_testbed.ledger import percentile
from arqonmesh_testbed.nodes import Nodes
from arqonmesh_testbed.state import LabFiles, State
from arqonmesh_testbed.switch_control import order
from arqonmesh_testbed.topology import QUIC_PORT
from arqonmesh_testbed.traffic import Stream
from arqonmesh_testbed.watchers import Watcher

POLL_S: Final = 0.05
SETTLE_S: Final = 20.0
ROOTS_POLL_S: Final = 0.01


class Unmet(Exception):
    """What a step waited for did not come; the text says what was there instead."""


class Story:
    """One run of one scenario. `tell` gets a line per step as it ends."""

    def __init__(self, files: LabFiles, state: State, tell: Callable[[str], None]) -> None:
        self._files = files
        self._state = state
        self._nodes = Nodes(files, state.topology)
        self._tell = tell
        self._watchers = {name: Watcher(name, self._nodes.control_socket(name)) for name in state.nodes}
        self._streams: list[Stream] = []
        self._changed_ms = 0.0
        """Wall clock of the last cut or heal, as the switch told it."""
        self._held_before: dict[str, int] = {}
        """What each node had counted as held when the last cut came."""
        self.measures: dict[str, list[float]] = {}
        self.steps: list[dict[str, Any]] = []

    async def run(self, steps: tuple[scenario.Step, ...]) -> bool:
        """Whether every step held; the first that does not ends the story."""
        for watcher in self._watchers.values():
            watcher.start()
        try:
            await self._settled()
            return await self._each(steps, "")
        finally:
            await asyncio.gather(*(asyncio.to_thread(stream.stop) for stream in self._streams))
            await asyncio.gather(*(watcher.close() for watcher in self._watchers.values()))

    def traffic(self) -> list[dict[str, Any]]:
        return [report for stream in self._streams for report in stream.reports()]

    async def _each(self, steps: tuple[scenario.Step, ...], round_: str) -> bool:
        for step in steps:
            name, what = step.action()
            if isinstance(what, scenario.Repeat):
                for number in range(what.times):
                    if not await self._each(what.steps, f"{number + 1}/{what.times}"):
                        return False
            elif not await self._one(name, what, round_):
                return False
        return True

    async def _one(self, name: str, what: Any, round_: str) -> bool:
        began = time.monotonic()
        handler: Callable[[Any], Awaitable[str] | str] = getattr(self, f"_{name}")
        try:
            result = handler(what)
            said, ok = (await result if inspect.isawaitable(result) else result), True
            for stream in self._streams:
                stream.check()
        except (Unmet, ArqonError) as unmet:
            said, ok = str(unmet), False
        took_ms = round((time.monotonic() - began) * 1e3, 1)
        self.steps.append({"step": name, "round": round_, "ok": ok, "took_ms": took_ms, "said": said})
        self._tell(f"{'ok  ' if ok else 'FAIL'} {round_:>6} {name:<15} {took_ms:8.0f} ms  {said}")
        return ok

    async def _settled(self) -> None:
        """The lab is joined; the links of the topology are up before the story begins."""
        for link in self._state.topology.links:
            for a, b in (link.between, link.between[::-1]):
                look = functools.partial(self._link_state, a, b)
                await self._until(look, lambda seen: bool(seen == "up"), SETTLE_S, f"the link from {a} to {b} is")

    # --- steps: each says what it saw -------------------------------------------------------------------------

    async def _traffic(self, what: scenario.Traffic) -> str:
        stream = Stream(what, self._nodes.namespace)
        self._streams.append(stream)
        await asyncio.to_thread(stream.start)
        return f"{what.per_s} messages/s on {what.channel} from {what.from_} to {', '.join(what.to)}"

    async def _arrives(self, what: scenario.Arrives) -> str:
        before = {receiver: receiver.ledger.received for stream in self._streams for receiver in stream.receivers}

        async def least() -> int:
            return min((receiver.ledger.received - count for receiver, count in before.items()), default=0)

        count = await self._until(least, lambda seen: seen >= what.at_least, what.within_s, "messages at the slowest")
        return f"every receiver has {count} more"

    async def _cut(self, what: scenario.Cut) -> str:
        a, b = what.between
        for name in self._watchers:
            self._held_before[name] = await self._held_count(name)
        self._changed_ms = order(self._files.switch_socket, "cut", a=a, b=b, one_way=what.one_way)["at_ms"]
        return f"{a} to {b} only" if what.one_way else f"{a} and {b}, silently"

    def _heal(self, what: scenario.Heal) -> str:
        healed = order(self._files.switch_socket, "heal")
        self._changed_ms = healed["at_ms"]
        return f"{healed['healed']} directions"

    async def _link(self, what: scenario.Link) -> str:
        said = []
        for me, other in (what.between, what.between[::-1]):
            watcher, peer = self._watchers[me], self._state.ids[other]

            async def seen(watcher: Watcher = watcher, peer: str = peer) -> int | None:
                return watcher.link_event_ms(peer, what.is_, self._changed_ms)

            at_ms = await self._until(
                seen, lambda at: at is not None, what.within_s, f"{me} says that its link to {other} is {what.is_}: at"
            )
            assert at_ms is not None
            took_ms = max(0.0, at_ms - self._changed_ms)
            if what.measure:
                self.measures.setdefault(what.measure, []).append(took_ms)
            said.append(f"{me} says {what.is_} after {took_ms:.0f} ms")
        return ", ".join(said)

    async def _partition(self, what: scenario.Partition) -> str:
        async def seen() -> tuple[str, int, int, bool]:
            view = (await self._watchers[what.at].client.mesh_status()).partition
            return ("none", 0, 0, False) if view is None else (view.state, view.reachable, view.required, view.writable)

        state, reachable, required, writable = await self._until(
            seen, lambda view: view[0] in what.is_, what.within_s, f"{what.at} says"
        )
        rights = "writable" if writable else "read-only"
        return f"{what.at} says {state}, {reachable} reachable, {required} required, {rights}"

    async def _held(self, what: scenario.Held) -> str:
        before = self._held_before.get(what.at, 0)

        async def seen() -> int:
            return await self._held_count(what.at) - before

        count = await self._until(seen, lambda held: held >= what.at_least, what.within_s, f"{what.at} holds")
        return f"{what.at} holds {count}"

    async def _roots_equal(self, what: scenario.RootsEqual) -> str:
        async def seen() -> list[str]:
            views = await asyncio.gather(*(watcher.client.mesh_status() for watcher in self._watchers.values()))
            return [view.mesh.root[:8] if view.mesh is not None else "none" for view in views]

        roots = await self._until(seen, lambda roots: len(set(roots)) == 1, what.within_s, "roots", poll_s=ROOTS_POLL_S)
        took_ms = time.time_ns() / 1e6 - self._changed_ms
        if what.measure:
            self.measures.setdefault(what.measure, []).append(took_ms)
        return f"{len(roots)} nodes at {roots[0]}, {took_ms:.0f} ms after the last cut or heal"

    async def _refused(self, what: scenario.Refused) -> str:
        async def dropped() -> int:
            paths = order(self._files.switch_socket, "stats")["paths"]
            found = (path for path in paths if (path["from"], path["to"]) == (what.from_, what.to))
            return int(next(found)["unsolicited"])

        before = await dropped()
        target = (self._state.topology.address(what.to), QUIC_PORT)
        await asyncio.to_thread(namespaces.inside, self._nodes.namespace(what.from_), lambda: _datagram(target))
        await self._until(dropped, lambda count: count > before, 2.0, "unsolicited datagrams dropped")
        return f"an unsolicited datagram from {what.from_} did not get in at {what.to}"

    def _model(self, what: scenario.Model) -> str:
        a, b = what.between
        for source, target in ((a, b),) if what.one_way else ((a, b), (b, a)):
            order(self._files.switch_socket, "model", **{"from": source, "to": target, "changes": what.changes})
        return f"{a} and {b}: {what.changes}"

    async def _pause(self, what: scenario.Pause) -> str:
        await asyncio.sleep(what.s)
        return f"{what.s:g} s"

    async def _stop_traffic(self, what: scenario.StopTraffic) -> str:
        await asyncio.gather(*(asyncio.to_thread(stream.stop_publishing) for stream in self._streams))
        return f"{sum(stream.publisher.published for stream in self._streams)} messages were published"

    async def _delivered(self, what: scenario.Delivered) -> str:
        async def perfect() -> bool:
            return all(stream.perfect for stream in self._streams)

        try:
            await self._until(perfect, bool, what.within_s, "all delivered once and in order:")
        except Unmet:
            faults = [
                f"{r['from']} to {r['to']}: {r['lost']} lost, {r['doubled']} doubled, {r['out_of_order']} out of order"
                for r in self.traffic()
            ]
            raise Unmet("; ".join(faults)) from None
        return "; ".join(f"{r['received']} from {r['from']} to {r['to']}" for r in self.traffic()) + ", once, in order"

    def _same_processes(self, what: scenario.SameProcesses) -> str:
        ended = [name for name, process in self._state.nodes.items() if not process.alive]
        if ended:
            raise Unmet("; ".join(f"{name} has ended: {self._nodes.last_words(name)}" for name in ended))
        return f"{len(self._state.nodes)} processes as at the start"

    # ----------------------------------------------------------------------------------------------------------

    async def _held_count(self, node: str) -> int:
        return (await self._watchers[node].client.node_status()).counters.get("federation_held", 0)

    async def _link_state(self, me: str, other: str) -> str:
        links = await self._watchers[me].client.links()
        return next((link.state for link in links if link.peer == self._state.ids[other]), "none")

    async def _until(
        self,
        look: Callable[[], Awaitable[Any]],
        fits: Callable[[Any], bool],
        within_s: float,
        label: str,
        poll_s: float = POLL_S,
    ) -> Any:
        """Look again and again; what fitted. Raises Unmet with what was last seen."""
        deadline = time.monotonic() + within_s
        while True:
            seen = await look()
            if fits(seen):
                return seen
            if time.monotonic() >= deadline:
                raise Unmet(f"{label} {seen} after {within_s:g} s")
            await asyncio.sleep(poll_s)


def figures(measures: dict[str, list[float]], limits: dict[str, scenario.Limit]) -> list[dict[str, Any]]:
    """Each measure with its percentiles, its limits, and whether it kept them."""
    found = []
    for name, values in measures.items():
        row: dict[str, Any] = {"measure": name, "n": len(values)}
        row |= {
            "p50": round(percentile(values, 0.5)),
            "p99": round(percentile(values, 0.99)),
            "max": round(max(values)),
        }
        limit = limits.get(name, scenario.Limit())
        bounds = {key: getattr(limit, key) for key in ("p50", "p99", "max") if getattr(limit, key) is not None}
        row["limit"] = ", ".join(f"{key} <= {value:g}" for key, value in bounds.items())
        row["ok"] = all(row[key] <= value for key, value in bounds.items())
        found.append(row)
    return found


def _datagram(target: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"unasked", target)
