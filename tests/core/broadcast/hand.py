"""One broadcast core by hand: what it is told, what it says, and a clock that a test moves."""

from __future__ import annotations

from typing import Any

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import Broadcast, BroadcastArrived, Fault, LinkDown, LinkMeasured, LinkUp
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Event, Send
from arqonmesh.core.router import Router
from arqonmesh.ids import NodeId, node_id_of
from arqonmesh.sim.crypto import toy_key
from arqonmesh.sim.field.accept import Accepting
from arqonmesh.wire.messages import BroadcastPayload, WireMessage
from arqonmesh.wire.naming import broadcast_id
from tests.core.toy import env_of

BIG = bytes(1_000)
RTT = 20 * MILLISECOND


def peer(name: str) -> NodeId:
    return node_id_of(toy_key(name))


def payload(data: bytes = BIG, *, round_: int = 1, wave: int = 0, topic: str = "t") -> BroadcastPayload:
    return BroadcastPayload(round=round_, wave=wave, topic=topic, data=data)


def name_of(message: BroadcastPayload) -> bytes:
    """As everyone makes it of topic and data."""
    return broadcast_id(message.topic, message.data)


class Hand:
    """The core with an owner that accepts everything (or `owner=None`: nobody answers)."""

    def __init__(
        self,
        *peers: str,
        members: int = 10,
        accepts: bool = True,
        mended: frozenset[str] = frozenset(),
        **settings: Any,
    ) -> None:
        env = env_of("self")
        self.core = Plumtree(env, BroadcastSettings(**settings), lambda: members, mended=mended)
        self.router = Router((self.core, Accepting(env)) if accepts else (self.core,))
        self.now = 0
        self.said: list[Effect] = self.router.start(0, {})
        for name in peers:
            self.tell(LinkUp(peer(name), "quic"))
            self.tell(LinkMeasured(peer(name), RTT, 0, 0))
        self.said.clear()

    def tell(self, event: Event) -> list[Effect]:
        return self._note(self.router.event(self.now, event))

    def down(self, name: str) -> list[Effect]:
        return self.tell(LinkDown(peer(name), "timeout"))

    def broadcast(self, data: bytes = BIG, topic: str = "t") -> list[Effect]:
        return self.tell(Broadcast(topic, data))

    def hear(self, name: str, message: WireMessage) -> list[Effect]:
        answer = self.router.message(self.now, peer(name), message)
        assert answer is not None
        return self._note(answer)

    def wait(self, us: int) -> list[Effect]:
        """Let so much time pass, timers on time."""
        until, out = self.now + us, []
        while (due := self.router.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            out += self.router.timer(self.now)
        self.now = until
        return self._note(out)

    def _note(self, effects: list[Effect]) -> list[Effect]:
        self.said += effects
        return effects


def sends(effects: list[Effect], kind: type[WireMessage]) -> dict[NodeId, Any]:
    """Messages of one type by who they go to; one each at most."""
    out: dict[NodeId, Any] = {}
    for effect in effects:
        if isinstance(effect, Send) and isinstance(effect.message, kind):
            assert effect.to not in out, f"two {kind.__name__} to {effect.to}"
            out[effect.to] = effect.message
    return out


def faults(effects: list[Effect]) -> list[tuple[NodeId, str]]:
    return [(e.event.party, e.event.cause) for e in effects if isinstance(e, Emit) and isinstance(e.event, Fault)]


def arrived(effects: list[Effect]) -> list[bytes]:
    return [e.event.data for e in effects if isinstance(e, Emit) and isinstance(e.event, BroadcastArrived)]
