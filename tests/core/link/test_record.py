"""When everyone is told that a link's figures are others: who has one link alone can wait, who has two cannot."""

from __future__ import annotations

from collections import deque

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import Publish, TransportUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Emit, Send
from arqonmesh.core.link.core import Links
from arqonmesh.core.link.pacing import DRIFT_HOLD_US_MAX, DRIFT_HOLD_US_MIN, DRIFT_LASTS_US, SPREAD_SHARE
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Heartbeat, HeartbeatAck, WireMessage
from tests.core.toy import env_of, node_of

MS = MILLISECOND
HUB, OTHER = node_of("hub"), node_of("other")
SLOW_MS = 400
"""The pace of a hub that has many links."""
DRIFTS_AT = 20 * SECOND


def told_at(*peers: NodeId, until: int) -> list[int]:
    """When a node published its links whose round trip to the hub is 40 ms, and 80 ms from DRIFTS_AT on."""
    core = Links(env_of("leaf"), LinkSettings())
    core.start(0, {})
    for peer in peers:
        core.on_event(0, TransportUp(peer, "quic", True))
    published: list[int] = []
    on_the_way: deque[tuple[int, NodeId, WireMessage]] = deque()
    seq = dict.fromkeys(peers, 0)
    for now in range(0, until, 10 * MS):
        effects = core.on_timer(now) if (core.next_deadline() or 0) <= now else []
        while on_the_way and on_the_way[0][0] <= now:
            _, peer, answer = on_the_way.popleft()
            effects += core.on_message(now, peer, answer)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Heartbeat):
                seq[effect.to] += 1
                pace_ms = SLOW_MS if effect.to == HUB else 100
                echo = Heartbeat(seq[effect.to], False, effect.message.seq, 0, 2**32 - 1, pace_ms)
                rtt_us = 80 * MS if effect.to == HUB and now >= DRIFTS_AT else 40 * MS
                said = HeartbeatAck(effect.message.seq) if effect.message.poll else echo
                on_the_way.append((now + rtt_us, effect.to, said))
                on_the_way = deque(sorted(on_the_way, key=lambda message: message[0]))
            elif isinstance(effect, Emit) and isinstance(effect.event, Publish):
                published.append(now)
    return published


def test_who_has_two_links_is_no_leaf_though_one_is_to_a_busy_hub() -> None:
    """Which way leads by it depends on the figures: they are told half a minute after the record before, or one and a
    half times that. Of the only link that there is they are told after four minutes."""
    latest = DRIFTS_AT + DRIFT_LASTS_US * 2 + DRIFT_HOLD_US_MIN + DRIFT_HOLD_US_MIN // SPREAD_SHARE
    first, *later = told_at(HUB, OTHER, until=latest)
    assert first < DRIFTS_AT < later[0] and len(later) == 1
    assert [at for at in told_at(HUB, until=DRIFT_HOLD_US_MAX) if at >= DRIFTS_AT] == []
