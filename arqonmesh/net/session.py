"""From a complete TLS handshake to a link: certificates, the authority's word, Hello both ways, then frames.

    TLS done --chain, mesh, authority--> HELLO --peer's signed Hello--> UP

The dialling side sends its Hello first; the listening side answers with its own only when it accepts, so a link that
is up for the dialling side is up for both. Until then nothing but the Hello is read: bytes of other lanes wait,
bounded, and datagrams are dropped. Everything refused is raised as an ArqonError whose code both sides show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from arqonmesh.core.kernel import Lane
from arqonmesh.errors import PeerError, TrustError
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.net.api import Authority
from arqonmesh.net.connection import Arrived, Connection
from arqonmesh.net.hello import HELLO_BYTES_MAX, NO_PROBES, ONE_LANE, LocalNode, make_hello, read_hello
from arqonmesh.net.lanes import LANE_OF_STREAM, OPENING, STREAM_OF_LANE
from arqonmesh.trust.certificates import LeafIdentity, verify_chain
from arqonmesh.wire.frames import FrameParser, frame
from arqonmesh.wire.messages import MAX_FRAME_BYTES, Hello

EARLY_BYTES_MAX: Final = 1 << 20
"""Bytes of the other lanes kept while the Hello is under way; a window's worth is the most an honest peer sends."""

Frames = list[tuple[Lane, list[bytes]]]


class MeshSession:
    """The protocol `arqon-mesh` (tls.PROTOCOLS) on one connection."""

    def __init__(
        self,
        connection: Connection,
        *,
        local: LocalNode,
        authority: Authority,
        wall_ms: Callable[[], int],
        skew_ms: int,
        one_lane: bool,
        expected: NodeId | None,
        counters: Counter[str],
    ) -> None:
        self.connection = connection
        self.identity: LeafIdentity | None = None
        self.hello: Hello | None = None
        """The peer's; set when this session is up."""
        self.version = 0
        self.clock_offset_ms = 0
        """The peer's wall clock less ours when its Hello came; includes half a round trip."""
        self.one_lane = one_lane
        """Whether what we send goes on one stream: by our setting, or because the dialling side opened only one."""
        self._opened_one = one_lane
        self._local = local
        self._authority = authority
        self._wall_ms = wall_ms
        self._skew_ms = skew_ms
        self._expected = expected
        self._counters = counters
        self._mesh_id = MeshId("")
        self._peer_one_lane = False
        self._parsers = {stream: FrameParser(MAX_FRAME_BYTES + 1) for stream in LANE_OF_STREAM}
        self._early: dict[int, list[bytes]] = {}
        self._early_bytes = 0

    @property
    def peer(self) -> NodeId:
        assert self.identity is not None, "asked for the peer before the handshake"
        return self.identity.node_id

    @property
    def up(self) -> bool:
        return self.hello is not None

    @property
    def streams(self) -> frozenset[int]:
        """The streams of this connection: those that the dialling side opens."""
        dialler_has_one = self._opened_one if self.connection.outbound else self._peer_one_lane
        return frozenset((STREAM_OF_LANE[Lane.CONTROL],)) if dialler_has_one else frozenset(LANE_OF_STREAM)

    def on_handshake(self) -> None:
        """TLS is complete: judge the certificates. Raises what is refused."""
        mesh_id = self._authority.mesh_id
        if mesh_id is None:
            raise PeerError("link.no-mesh", "this node belongs to no mesh yet")
        self._mesh_id = mesh_id
        quic = self.connection.quic
        if not quic.peer_takes_datagrams:
            raise PeerError("link.no-datagrams", "the peer does not take QUIC DATAGRAM frames (RFC 9221)")
        identity = verify_chain(quic.peer_chain(), self._wall_ms(), self._skew_ms)
        if identity.mesh_id != mesh_id:
            raise TrustError(
                "trust.wrong-mesh", f"the peer's leaf is of mesh {identity.mesh_id}; this one is {mesh_id}"
            )
        if identity.node_id == self._local.node_id:
            raise PeerError("link.self", "this address leads back to the node that dialled it")
        if self._expected is not None and identity.node_id != self._expected:
            raise TrustError(
                "link.other-node", f"{identity.node_id} answers at this address; it needs to be {self._expected}"
            )
        refusal = self._authority.refuse_member(identity.node_id, identity.node_key)
        if refusal is not None:
            raise TrustError(
                refusal if "." in refusal else f"trust.{refusal}", f"{identity.node_id} may not link to this node"
            )
        self.identity = identity

    def open(self) -> None:
        """As the dialling side, say Hello and open the lanes; the listening side answers when it has read it."""
        if self.connection.outbound:
            self._say_hello()
            if not self.one_lane:
                self.connection.write(STREAM_OF_LANE[Lane.PRIORITY], OPENING)
                self.connection.write(STREAM_OF_LANE[Lane.BULK], OPENING)

    def on_arrived(self, arrived: Arrived) -> Frames:
        """The frames that these bytes complete, lane by lane; control first. Raises what breaks the protocol."""
        if self.identity is None:
            return []
        if not self.up and not self._read_hello(arrived):
            self._keep_early(arrived)
            return []
        frames: Frames = []
        if self._early:
            early, self._early, self._early_bytes = self._early, {}, 0
            for stream_id, chunks in arrived.streams.items():
                early.setdefault(stream_id, []).extend(chunks)
            arrived.streams = early
        if arrived.datagrams:
            frames.append((Lane.DATAGRAM, arrived.datagrams))
        for stream_id in sorted(arrived.streams):
            self._parse(stream_id, arrived.streams[stream_id], frames)
        return frames

    # --- Hello --------------------------------------------------------------------------------------------

    def _say_hello(self) -> None:
        hello = make_hello(
            self._local,
            mesh_id=self._mesh_id,
            peer=self.peer,
            channel_binding=self._binding(),
            wall_ms=self._wall_ms(),
            capabilities=(ONE_LANE,) * self.one_lane + (NO_PROBES,) * self.connection.quic.spares_probes,
        )
        self.connection.write(STREAM_OF_LANE[Lane.CONTROL], frame(hello))

    def _read_hello(self, arrived: Arrived) -> bool:
        """Take the Hello from the control stream; what follows it there goes on as frames."""
        control = STREAM_OF_LANE[Lane.CONTROL]
        chunks = arrived.streams.pop(control, None)
        if chunks is None:
            return False
        self._early.setdefault(control, []).extend(chunks)
        data = b"".join(self._early[control])
        length = int.from_bytes(data[:4], "big") if len(data) >= 4 else 0
        if length > HELLO_BYTES_MAX:
            raise PeerError("link.hello", f"a first message of {length} bytes; a Hello has at most {HELLO_BYTES_MAX}")
        if len(data) < 4 + length or len(data) < 4:
            self._early[control] = [data]
            self._early_bytes += sum(map(len, chunks))
            self._check_early()
            return False
        assert self.identity is not None
        hello, self.version = read_hello(
            data[4 : 4 + length],
            identity=self.identity,
            local=self._local.node_id,
            mesh_id=self._mesh_id,
            channel_binding=self._binding(),
        )
        rest = data[4 + length :]
        if rest:
            self._early[control] = [rest]
        else:
            del self._early[control]
        self._peer_one_lane = ONE_LANE in hello.capabilities
        self.connection.quic.peer_spares_probes = NO_PROBES in hello.capabilities
        if not self.connection.outbound:
            # The dialling side decides how many streams there are; the listening side tells in its own Hello below.
            self.one_lane = self.one_lane or self._peer_one_lane
        self.clock_offset_ms = hello.wall_ms - self._wall_ms()
        if not self.connection.outbound:
            self._say_hello()
        self.hello = hello
        return True

    def _binding(self) -> bytes:
        binding = self.connection.quic.channel_binding
        assert binding is not None, "asked for the channel binding before the handshake"
        return binding

    def _keep_early(self, arrived: Arrived) -> None:
        for stream_id, chunks in arrived.streams.items():
            self._early.setdefault(stream_id, []).extend(chunks)
            self._early_bytes += sum(map(len, chunks))
        if arrived.datagrams:
            self._counters["drop.early-datagram"] += len(arrived.datagrams)
        self._check_early()

    def _check_early(self) -> None:
        if self._early_bytes > EARLY_BYTES_MAX or any(stream not in LANE_OF_STREAM for stream in self._early):
            raise PeerError("link.early", "bytes other than a Hello before the Hello, more than are kept here")

    # --- frames -------------------------------------------------------------------------------------------

    def _parse(self, stream_id: int, chunks: list[bytes], frames: Frames) -> None:
        lane = LANE_OF_STREAM.get(stream_id)
        if lane is None:
            raise PeerError("link.stream", f"bytes on QUIC stream {stream_id}, which is no lane")
        whole = self._parsers[stream_id].feed(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if not whole:
            return
        if self._peer_one_lane and lane is Lane.CONTROL:
            self._sort_by_lane(whole, frames)
            return
        if b"" in whole:
            whole = [data for data in whole if data]  # stream openings
        frames.append((lane, whole))

    @staticmethod
    def _sort_by_lane(whole: list[bytes], frames: Frames) -> None:
        for data in whole:
            if not data or not Lane.CONTROL <= data[0] <= Lane.BULK:
                raise PeerError("link.lane", "a frame on a collapsed link that names no lane")
            lane = Lane(data[0])
            if frames and frames[-1][0] is lane:
                frames[-1][1].append(data[1:])
            else:
                frames.append((lane, [data[1:]]))
