"""The vocabulary of every core: what goes in, what comes out, and nothing else.

A core is a state machine. One input in, a list of effects out. It reads no clock, opens no socket, rolls no
dice and never calls another core; `core/node.py` routes what one core emits to the cores that listen.

The loop that its user writes:

    effects = core.start(now, durable)
    while True:
        perform(effects)                                   # in order; Persist answers later with Persisted
        now, input = wait_until(core.next_deadline())      # a message, an event, or the deadline itself
        effects = core.on_message(...) or core.on_event(...) or core.on_timer(now)

Rules: a spurious or late `on_timer` is harmless. What is signed or promised is persisted first: the core
returns `Persist(token)` and the dependent `Send` only when `Persisted(token)` comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

from msgspec import Struct

from arqonmesh.ids import ClientId, ClusterId, MeshId, NodeId
from arqonmesh.wire.messages import WireMessage

Instant: TypeAlias = int
"""Monotonic microseconds on the node's own clock."""

Scalar: TypeAlias = "int | str | bytes | None"
Row: TypeAlias = tuple[Scalar, ...]
Durable: TypeAlias = Mapping[str, Sequence[Row]]
"""What survived: table name (core/tables.py) to its rows, each in the order of the table's columns."""

MILLISECOND: int = 1_000
SECOND: int = 1_000_000


class Lane(IntEnum):
    """Class of traffic on a link; a lower value leaves first. DATAGRAM may be lost, the others may not."""

    DATAGRAM = 0
    CONTROL = 1
    PRIORITY = 2
    BULK = 3


class Event(Struct, frozen=True, gc=False):
    """Base of what cores tell each other and the runtime (core/events.py). A Struct, as effects are: made for every
    message, and a frozen dataclass takes eight times as long to make."""


class Put(Struct, frozen=True, gc=False):
    """Insert or replace one row; `row` is in the order of the table's columns in core/tables.py."""

    table: str
    row: Row


class Delete(Struct, frozen=True, gc=False):
    """Delete the row with this primary key; absent is fine."""

    table: str
    key: Row


Write: TypeAlias = Put | Delete


class Send(Struct, frozen=True, gc=False):
    """Send to a member. Directly linked or not is the node's business (routing wraps it in Relay)."""

    to: NodeId
    lane: Lane
    message: WireMessage


class Persist(Struct, frozen=True, gc=False):
    """Write all of `writes` in one transaction, then answer with `Persisted(token)`.

    `sync=True`: on disk before the answer. `sync=False`: from the answer on it survives the death of the process, not
    of the machine. A negative token asks for no answer: with `sync=True` the disk has it as soon as it can, without it
    within a moment, and a process that dies in that moment loses it; but never what came before something it kept.
    """

    token: int
    writes: tuple[Write, ...]
    sync: bool = True


class Deliver(Struct, frozen=True, gc=False):
    """Hand these ready-made text frames to bus clients, in order."""

    clients: tuple[ClientId, ...]
    frames: tuple[bytes, ...]


class Throttle(Struct, frozen=True, gc=False):
    """Stop (or resume) reading from these bus clients; how a full outbox reaches the producer."""

    clients: tuple[ClientId, ...]
    paused: bool


class AwaitDrain(Struct, frozen=True, gc=False):
    """Tell by the event `ClientDrained` as soon as this bus client has little left to read, which may be at once."""

    client: ClientId


class CloseClient(Struct, frozen=True, gc=False):
    """Close this bus client's connection with an RFC 6455 close code and a reason it can show."""

    client: ClientId
    code: int
    reason: str


class KeepFrames(Struct, frozen=True, gc=False):
    """Put these finished events of one channel into the durable history, in order; no answer comes.

    `epoch` and `first` say where in their stream they stand: frame i has the offset `first + i`. Without a stream
    (an event of an older node) `epoch` is empty and `first` 0.
    """

    channel: str
    epoch: str
    first: int
    low_ms: int
    """The earliest and the latest of their timestamps, milliseconds since 1970."""
    high_ms: int
    frames: tuple[bytes, ...]
    ours: bool
    """Published on this node or come from another cluster: for us to put where the cluster's nodes share."""


Range: TypeAlias = tuple[str, int, int]
"""(epoch, first offset, last offset), both ends included."""


class HistoryQuery(Struct, frozen=True, gc=False):
    """Which events of a channel are wanted from the durable history."""

    channel: str
    limit: int
    bytes_max: int
    oldest: bool = False
    """The first `limit` that fit, instead of the last. The answer is in the order of arrival either way."""
    after_ms: int | None = None
    """Only events with a timestamp later than this, milliseconds since 1970."""
    before_ms: int | None = None
    """Only events with a timestamp earlier than this."""
    ranges: tuple[Range, ...] | None = None
    """Only these stretches of these streams; None: all."""


class ForgetHistory(Struct, frozen=True, gc=False):
    """Delete what was kept of this channel; its streams go on counting."""

    channel: str


class ReadHistory(Struct, frozen=True, gc=False):
    """Read from the durable history; the answer is the event `HistoryRead(token)`. Whatever was given to `KeepFrames`
    before is found."""

    token: int
    query: HistoryQuery


class Emit(Struct, frozen=True, gc=False):
    """Tell whoever listens: other cores first, then the runtime (metrics, log, control API)."""

    event: Event


class Connect(Struct, frozen=True, gc=False):
    """Want a link to this member; the dialer tries for ever until Disconnect. Repeats are harmless."""

    peer: NodeId
    addresses: tuple[str, ...]


class Disconnect(Struct, frozen=True, gc=False):
    """Close the link's connection now. `forget=True` also ends the wish for the link."""

    peer: NodeId
    reason: str
    forget: bool = False


Effect: TypeAlias = (
    Send
    | Persist
    | Deliver
    | Throttle
    | AwaitDrain
    | CloseClient
    | KeepFrames
    | ForgetHistory
    | ReadHistory
    | Emit
    | Connect
    | Disconnect
)


class Rng(Protocol):
    """The injected dice; `random.Random` fits."""

    def random(self) -> float: ...
    def randrange(self, start: int, stop: int, /) -> int: ...
    def getrandbits(self, k: int, /) -> int: ...
    def shuffle(self, x: list[NodeId], /) -> None: ...


class Crypto(Protocol):
    """Signing as this node and verifying anyone. Real keys in the runtime, a toy MAC in the simulator."""

    def sign(self, message: bytes) -> bytes: ...
    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """What a core may know about its world, all injected."""

    node_id: NodeId
    public_key: bytes
    cluster: ClusterId
    role: str
    region: str
    mesh_id: MeshId
    rng: Rng
    """One generator per core, seeded apart, so that a draw in one core does not shift another."""
    wall_ms: Callable[[], int]
    """Wall clock, milliseconds since the epoch. For display, certificates and tickets; never for order."""
    crypto: Crypto
    boot_epoch: int
    """Raised and persisted at every start; part of every sequence that a crash could otherwise repeat."""
    stopwatch: Callable[[], int] | None = None
    """Nanoseconds, to measure what work costs; None where nothing is measured. It decides nothing."""


class Core(Protocol):
    """One protocol state machine. Absent a need, a method returns [].

    A core may have `on_events(now, events)` besides, and is then told many events of one type together (of `Applied`:
    of one kind of statement), as a start tells all that is on disk. It is then in the state, with the
    deadline, in which `on_event` for one after the other would have left it, and answers the same, but for the order in
    which it draws and answers. What was so in between only may stay unsaid (regions: who led until the next of them).
    """

    NAME: ClassVar[str]
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]]
    """The wire messages that are routed to this core; no two cores share one."""
    EVENTS: ClassVar[tuple[type[Event], ...]]
    """The events that this core listens to, its own `Persisted` apart (that always comes back). A core that is told
    `Applied` may name the kinds of statements that it reads, as `KINDS`; without, it is told all."""

    def start(self, now: Instant, durable: Durable) -> list[Effect]: ...
    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]: ...
    def on_event(self, now: Instant, event: Event) -> list[Effect]: ...
    def on_timer(self, now: Instant) -> list[Effect]: ...
    def next_deadline(self) -> Instant | None: ...
