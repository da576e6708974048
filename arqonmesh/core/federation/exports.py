"""Our own messages: gathered by channel until the tick ends, judged, signed once per batch, and sent."""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import Published
from arqonmesh.core.federation.aggregate import Aggregator
from arqonmesh.core.federation.batch import (
    BATCH_BYTES_MAX,
    CHANNEL_LENGTH_MAX,
    FRAME_BYTES_MAX,
    SECTIONS_MAX,
    Head,
    encode_sections,
    section_hash,
    signed_bytes,
)
from arqonmesh.core.federation.books import Books
from arqonmesh.core.federation.links import Links
from arqonmesh.core.federation.outbox import Outbox
from arqonmesh.core.federation.patterns import Ruling
from arqonmesh.core.federation.policy import Policy
from arqonmesh.core.federation.residency import Pinned
from arqonmesh.core.federation.sending import Envelope, Right, Sending
from arqonmesh.core.federation.tick import Tick
from arqonmesh.core.kernel import Effect, Env, Instant

EARLY_FLUSH_BYTES: Final = 4 << 20
"""Published bytes after which the end of the tick is not waited for."""


class Exports:
    """What our clients published in this tick, and the open windows of aggregates."""

    def __init__(
        self,
        env: Env,
        settings: FederationSettings,
        *,
        policy: Policy,
        links: Links,
        sending: Sending,
        books: Books,
        tick: Tick,
    ) -> None:
        self._env = env
        self._ttl = settings.ttl
        self._policy = policy
        self._links = links
        self._sending = sending
        self._books = books
        self._tick = tick
        self._aggregator = Aggregator(env)
        self._fresh: dict[str, list[bytes]] = {}
        self._fresh_bytes = 0
        self._next_section = 1

    @property
    def full(self) -> bool:
        """Whether so much was published that the end of the tick is not waited for."""
        return self._fresh_bytes >= EARLY_FLUSH_BYTES

    @property
    def due(self) -> Instant | None:
        """When the next window of an aggregate ends."""
        return self._aggregator.due

    def take(self, now: Instant, event: Published, out: list[Effect]) -> None:
        """Events of a client of ours on one channel."""
        frames, channel = event.frames, event.channel
        longest = max(map(len, frames))
        if longest > FRAME_BYTES_MAX:
            fitting = tuple([frame for frame in frames if len(frame) <= FRAME_BYTES_MAX])
            self._books.drop(out, "frame-too-large", len(frames) - len(fitting), channel)
            frames = fitting
            if not frames:
                return
        fresh = self._fresh.get(channel)
        if fresh is not None:
            fresh += frames
        elif len(channel) > CHANNEL_LENGTH_MAX:
            self._books.drop(out, "channel-name-too-long", len(frames))
            return
        else:
            self._fresh[channel] = list(frames)
            self._tick.note(now)
        self._fresh_bytes += sum(map(len, frames))

    def end_windows(self, now: Instant) -> None:
        """The open windows of aggregates end with this tick: nobody will be there to end them later."""
        self._aggregator.end_all(now)
        if self._aggregator.due is not None:
            self._tick.note(now)

    def flush(self, now: Instant, out: list[Effect]) -> None:
        """The tick is over: everything that may take any link leaves, in batches."""
        if not self._fresh and self._aggregator.due is None:
            return
        fresh, self._fresh, self._fresh_bytes = self._fresh, {}, 0
        links = self._links.open_to(())
        clusters = self._sending.foreign(links)
        inside = any(cluster == self._env.cluster for _, cluster in links)
        aggregates: list[tuple[str, list[bytes]]] = []
        if self._policy.sums or self._aggregator.due is not None:
            aggregates = self._aggregates(now, fresh, out)
        rights: list[Right] = []
        size = 0
        events, pins_any = len(fresh), self._policy.residency.pins
        for channel, frames in (*fresh.items(), *aggregates):
            aggregate, events = events <= 0, events - 1
            ruling = self._policy.leaving(channel, aggregate=aggregate)
            pinned = self._policy.residency.pinned(channel) if pins_any else None
            if pinned is not None:
                if not self._judged_pinned(channel, ruling, pinned, links, len(frames), out):
                    continue
            else:
                self._judged(channel, ruling, clusters, len(frames), out)
                if not inside and not (ruling.allowed and clusters):
                    continue
            pins = () if pinned is None else pinned.pins
            for section, messages in encode_sections(channel, frames, pins, aggregate):
                if rights and (len(rights) == SECTIONS_MAX or size + len(section) > BATCH_BYTES_MAX):
                    self._originate(now, rights, links, out)
                    rights, size = [], 0
                rights.append(Right(section, messages, ruling.allowed, pinned))
                size += len(section)
        if rights:
            self._originate(now, rights, links, out)

    def _aggregates(
        self, now: Instant, fresh: dict[str, list[bytes]], out: list[Effect]
    ) -> list[tuple[str, list[bytes]]]:
        """Count what was published into its windows; those that have ended, as (channel, frames)."""
        for channel, frames in fresh.items():
            summed = self._policy.summed(channel)
            if summed is not None and not self._aggregator.take(now, channel, summed, frames):
                self._books.drop(out, "aggregate-channels", len(frames), channel)
        return [(told.channel, [told.frame]) for told in self._aggregator.close(now)]

    def _judged(self, channel: str, ruling: Ruling, clusters: list[str], messages: int, out: list[Effect]) -> None:
        if not ruling.allowed:
            self._books.counters.kept_local += messages
            clusters = ["*"]
        elif clusters:
            self._books.counters.exported += messages
        for cluster in clusters:
            self._books.decided("export", channel, cluster, ruling, messages, out)

    def _judged_pinned(
        self,
        channel: str,
        ruling: Ruling,
        pinned: Pinned,
        links: list[tuple[Outbox, str]],
        messages: int,
        out: list[Effect],
    ) -> bool:
        """Count what the rules say of these events of ours; whether they may take any link."""
        verdicts = self._sending.verdicts(ruling, pinned, links)
        abroad = [verdict.allowed for cluster, verdict in verdicts if cluster != self._env.cluster]
        if any(abroad):
            self._books.counters.exported += messages
        elif abroad or not ruling.allowed:
            self._books.counters.kept_local += messages
        if not ruling.allowed:
            self._books.decided("export", channel, "*", ruling, messages, out)
        self._sending.decided("export", channel, verdicts, messages, out)
        return any(verdict.allowed for _, verdict in verdicts)

    def _originate(self, now: Instant, rights: list[Right], links: list[tuple[Outbox, str]], out: list[Effect]) -> None:
        """One head, one signature, and the batch into every link's outbox."""
        env = self._env
        hashes = tuple([section_hash(right.section) for right in rights])
        head = Head(env.node_id, env.cluster, env.boot_epoch, self._next_section, hashes).encode()
        self._next_section += len(rights)
        signature = env.crypto.sign(signed_bytes(env.mesh_id, head))
        envelope = Envelope((env.node_id,), self._ttl - 1, head, signature)
        self._sending.send(now, envelope, rights, links, None, out)
