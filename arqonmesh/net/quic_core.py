"""Everything private of aioquic that we touch, in one place, with a check at start that it still behaves.

aioquic has the TLS code for client certificates but no switch for it, no exporter, no way to see what of a stream is
unsent, and a pacer that cannot be replaced from outside. The names used here were read in 1.7.2 (see the version pin
in pyproject.toml); `self_check` proves them on a handshake in memory before the first socket is opened, so a change
in a new release ends in a sentence and not in a mesh without authentication.
"""

from __future__ import annotations

import datetime
import logging
from typing import Final

import aioquic
from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import NetworkAddress, QuicConnection, QuicConnectionState
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from arqonmesh.errors import ConfigError
from arqonmesh.net import congestion
from arqonmesh.net.pacer import BurstPacer

EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"
"""RFC 9266: the tls-exporter channel binding, with an empty context."""
BINDING_BYTES: Final = 32
ACK_DELAY_S: Final = 0.002
"""How long an ACK may wait for company. Shorter wakes a quiet receiver more often; 25 ms is what we advertise."""
PROBE_DOUBLINGS_MAX: Final = 2
"""How often a client's probe timeout doubles during the handshake (RFC 9002, 6.2.1 would for ever): 0.8 s between two
first packets, so that one long dial finds a path that heals as soon as a row of short ones would."""
EAGER_S: Final = 2.0
"""So long after its first one a client that has heard nothing at all sends a first packet every 0.2 s: most cuts are
short, and a path that heals a moment after its link was given up is found as soon as one whose link is reopened."""

# The peer's mistakes are counted and reported by us; as log lines a stranger could fill the disk with them.
logging.getLogger("quic").setLevel(logging.ERROR)


class MeshQuic(QuicConnection):
    """A QuicConnection that asks clients for certificates, derives a channel binding and paces in bursts."""

    spares_probes = False
    """Whether datagrams that we send arm no probe (quic_datagrams.py); what `peer_spares_probes` is at the peer."""
    peer_spares_probes = False
    """Told in the peer's Hello: ACKs of its datagrams may wait for company for long."""

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self.pacer = BurstPacer(max_datagram_size=configuration.max_datagram_size)
        self.channel_binding: bytes | None = None
        """32 bytes that only the two ends of this TLS session know (RFC 9266); None before it stands."""
        self.brought: dict[int, list[bytes]] = {}
        """Stream bytes that came without an event (quic_fast.py), all older than any waiting event."""
        self._dialled_at = 0.0
        self._loss._pacer = self.pacer  # type: ignore[assignment]
        self._ack_delay = ACK_DELAY_S

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls._request_client_certificate = not self._is_client
        # One group instead of four: the others cost a client a millisecond of key generation per dial.
        self.tls._supported_groups = [tls.Group.X25519]

    def _update_traffic_key(
        self, direction: tls.Direction, epoch: tls.Epoch, cipher_suite: tls.CipherSuite, secret: bytes
    ) -> None:
        super()._update_traffic_key(direction, epoch, cipher_suite, secret)
        # At these two moments the transcript ends with the server's Finished on both sides, which is what the
        # exporter master secret is derived from (RFC 8446, 7.1).
        moment = tls.Direction.DECRYPT if self._is_client else tls.Direction.ENCRYPT
        if epoch is tls.Epoch.ONE_RTT and direction is moment:
            self.channel_binding = self._export(EXPORTER_LABEL, BINDING_BYTES)

    def _export(self, label: bytes, length: int) -> bytes:
        """RFC 8446, 7.5, with an empty context."""
        schedule = self.tls.key_schedule
        assert schedule is not None
        empty = schedule.hash_empty_value
        secret = tls.hkdf_expand_label(
            algorithm=schedule.algorithm,
            secret=schedule.derive_secret(b"exp master"),
            label=label,
            hash_value=empty,
            length=schedule.algorithm.digest_size,
        )
        return tls.hkdf_expand_label(
            algorithm=schedule.algorithm, secret=secret, label=b"exporter", hash_value=empty, length=length
        )

    def _bring(self, stream_id: int, data: bytes) -> None:
        """Hand stream bytes to the driver without an event, unless events wait that are older."""
        if self._events:
            self._events.append(StreamDataReceived(data=data, end_stream=False, stream_id=stream_id))
        else:
            self.brought.setdefault(stream_id, []).append(data)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """As inherited; but an ACK that waits goes along with a DATAGRAM that leaves (RFC 9000, 13.2.1).

        Otherwise each answer to a heartbeat is followed by a packet with the ACK: a quarter of an idle link's packets.
        """
        ack_at = self._spaces[tls.Epoch.ONE_RTT].ack_at if self._datagrams_pending else None
        if ack_at is not None and ack_at > now:
            self._spaces[tls.Epoch.ONE_RTT].ack_at = now
        return super().datagrams_to_send(now)

    def connect(self, addr: NetworkAddress, now: float) -> None:
        self._dialled_at = now
        super().connect(addr, now)

    def handle_timer(self, now: float) -> None:
        """As inherited; but a client whose handshake is under way goes on probing at a steady pace."""
        super().handle_timer(now)
        if self._is_client and not self._handshake_confirmed:
            eager = now - self._dialled_at < EAGER_S and not self._loss._rtt_initialized
            self._loss._pto_count = min(self._loss._pto_count, 0 if eager else PROBE_DOUBLINGS_MAX)

    # --- what the driver needs to see ---------------------------------------------------------------------

    def peer_chain(self) -> list[bytes]:
        """The certificates that the peer presented, DER, leaf first; empty when it presented none."""
        leaf = self.tls._peer_certificate
        chain = [] if leaf is None else [leaf, *self.tls._peer_certificate_chain]
        return [certificate.public_bytes(Encoding.DER) for certificate in chain]

    @property
    def alpn(self) -> str:
        """The protocol that the handshake agreed on."""
        return self.tls.alpn_negotiated or ""

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    @property
    def untouched(self) -> bool:
        """Whether nothing of the peer has been authenticated yet; such a server connection is not worth keeping."""
        return self._state is QuicConnectionState.FIRSTFLIGHT

    @property
    def ending(self) -> bool:
        """Whether it was closed by either side, or ran into its idle timeout."""
        return self._close_event is not None

    @property
    def close_event(self) -> ConnectionTerminated | None:
        """Why, at once; aioquic's own event comes three probe timeouts later."""
        return self._close_event

    @property
    def closed_by_peer(self) -> bool:
        return self._state is QuicConnectionState.DRAINING

    @property
    def close_pending(self) -> bool:
        """Whether our close has still to be put into a packet."""
        return self._close_pending

    @property
    def terminated(self) -> bool:
        return self._state is QuicConnectionState.TERMINATED

    @property
    def room_bytes(self) -> int:
        """Bytes that the congestion window still lets into flight."""
        return max(0, self._loss.congestion_window - self._loss.bytes_in_flight)

    @property
    def window_bytes(self) -> int:
        return self._loss.congestion_window

    @property
    def srtt_s(self) -> float:
        """Smoothed round trip; 0 before the first sample."""
        return self._loss._rtt_smoothed

    @property
    def packets_lost(self) -> int:
        control = self._loss._cc
        return control.packets_lost if isinstance(control, congestion.MeshCongestionControl) else 0

    @property
    def datagrams_waiting(self) -> int:
        """DATAGRAM frames handed over and not yet in a packet."""
        return len(self._datagrams_pending)

    @property
    def peer_takes_datagrams(self) -> bool:
        return bool(self._remote_max_datagram_frame_size)

    def hasten_ack(self, now: float) -> None:
        """Send the ACK that waits for company with the next flush."""
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        if space is not None and space.ack_at is not None and space.ack_at > now:
            space.ack_at = now

    @property
    def heard_at(self) -> float:
        """When the newest packet came that could be decrypted, on the caller's clock; 0 before the first one."""
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        return 0.0 if space is None else space.largest_received_time or 0.0

    @property
    def key_phase(self) -> int:
        """0 or 1: which of the two alternating sets of keys is in use (RFC 9001, 6)."""
        return self._cryptos[tls.Epoch.ONE_RTT].key_phase

    def has_stream(self, stream_id: int) -> bool:
        """Whether this stream exists; only its opener can make it exist."""
        return stream_id in self._streams

    def unsent_bytes(self) -> int:
        """Stream bytes handed over that were never in a packet."""
        total = 0
        for stream in self._streams.values():
            total += stream.sender._buffer_stop - stream.sender.highest_offset
        return total

    def unacked_bytes(self) -> int:
        """Stream bytes handed over that the peer has not acknowledged."""
        total = 0
        for stream in self._streams.values():
            total += stream.sender._buffer_stop - stream.sender._buffer_start
        return total

    def reassembly_bytes(self) -> int:
        """Bytes held for streams with a gap. aioquic's windows double whatever we read, so they do not bound this."""
        return sum(len(stream.receiver._buffer) for stream in self._streams.values())

    def send_finished(self, stream_id: int) -> bool:
        """Whether all of our side of a stream, its end included, was acknowledged."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.is_finished


def self_check(kind: type[MeshQuic] = MeshQuic) -> None:
    """Prove on a handshake in memory that the private names behave. About 10 ms.

    Raises ConfigError `link.quic-core` naming what does not hold.
    """
    try:
        problem = _handshake_in_memory(kind)
    except Exception as error:  # whatever a changed library raises, the operator gets one sentence
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise ConfigError(
            "link.quic-core",
            f"aioquic {aioquic.__version__} does not behave as this version needs: {problem}",
            hint="pip install 'aioquic>=1.7.2,<1.8'",
        )


def _handshake_in_memory(kind: type[MeshQuic]) -> str:
    """A client and a server, two certificates each; the empty string when all holds."""
    client_chain, server_chain = _throwaway_chain("client"), _throwaway_chain("server")
    client = kind(configuration=_configuration(client_chain, is_client=True))
    client.connect(("client", 1), now=0.0)
    server = kind(
        configuration=_configuration(server_chain, is_client=False),
        original_destination_connection_id=client.original_destination_connection_id,
    )
    _pump(client, server, now=0.0)
    if not (_completed(client) and _completed(server)):
        return "the handshake does not complete"
    if server.peer_chain() != _der(client_chain):
        return "the server does not see the client's certificates"
    if client.peer_chain() != _der(server_chain):
        return "the client does not see the server's certificates"
    if client.channel_binding is None or len(client.channel_binding) != BINDING_BYTES:
        return "there is no channel binding"
    if client.channel_binding != server.channel_binding:
        return "the channel bindings of the two ends differ"
    return _stream_in_memory(client, server)


def _stream_in_memory(client: MeshQuic, server: MeshQuic) -> str:
    size = 100_000
    client.send_stream_data(0, bytes(size))
    if client.unsent_bytes() != size or not client.has_stream(0):
        return "unsent bytes are not counted"
    client.pacer.open_batch()
    first = client.datagrams_to_send(now=1.0)
    if not 0 < len(first) <= 54 or client.pacer._left == 54:
        return "the pacer is not asked"
    if client.room_bytes >= client.window_bytes or client.unacked_bytes() != size:
        return "the window does not count what is in flight"
    for datagram, _ in first:
        server.receive_datagram(datagram, ("client", 1), now=1.0)
    came = sum(map(len, server.brought.get(0, [])))
    came += sum(len(event.data) for event in iter(server.next_event, None) if isinstance(event, StreamDataReceived))
    if came != size - client.unsent_bytes():
        return "stream data does not arrive"
    client.close(error_code=7, reason_phrase="done")
    if client.close_event is None or client.close_event.reason_phrase != "done":
        return "a close is not visible at once"
    return ""


def _pump(client: MeshQuic, server: MeshQuic, now: float) -> None:
    for _ in range(8):
        for datagram, _to in client.datagrams_to_send(now=now):
            server.receive_datagram(datagram, ("client", 1), now=now)
        for datagram, _to in server.datagrams_to_send(now=now):
            client.receive_datagram(datagram, ("client", 1), now=now)


def _completed(quic: MeshQuic) -> bool:
    return any(isinstance(event, HandshakeCompleted) for event in iter(quic.next_event, None))


def _der(chain: tuple[list[x509.Certificate], Ed25519PrivateKey]) -> list[bytes]:
    return [certificate.public_bytes(Encoding.DER) for certificate in chain[0]]


def _configuration(chain: tuple[list[x509.Certificate], Ed25519PrivateKey], *, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=["check"],
        is_client=is_client,
        certificate=chain[0][0],
        certificate_chain=chain[0][1:],
        private_key=chain[1],
        verify_mode=0,
        congestion_control_algorithm=congestion.NAME,
    )


def _throwaway_chain(name: str) -> tuple[list[x509.Certificate], Ed25519PrivateKey]:
    key = Ed25519PrivateKey.generate()
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = []
    for part in ("leaf", "node"):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {part}")])
        made.append(
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=1))
            .sign(key, None)
        )
    return made, key


__all__ = ["BINDING_BYTES", "MeshQuic", "NetworkAddress", "self_check"]
