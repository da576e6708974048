"""TLS for QUIC: which certificates we show, which protocols we speak, and that no session is ever resumed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

from arqonmesh import PROTOCOL_VERSION
from arqonmesh.errors import PeerError
from arqonmesh.net import congestion
from arqonmesh.trust.certificates import Leaf


@dataclass(frozen=True, slots=True)
class Protocols:
    """What we speak, by its ALPN (RFC 7301) names, and what is named only to be refused in words.

    A node of another version would take our statements for damaged, and blame us. So nothing is said between the two:
    TLS agrees on the newest name that both ends know, and unless that is what this node speaks, the connection ends
    there. Without the former names TLS itself would end it, with an alert that says nothing to whoever reads it.
    """

    version: int
    former: tuple[int, ...] = ()
    """Newest first."""

    @property
    def mesh(self) -> str:
        return f"arqon-mesh/{self.version}"

    @property
    def join(self) -> str:
        return f"arqon-join/{self.version}"

    @property
    def to_mesh(self) -> list[str]:
        """What a dial for a link offers."""
        return [f"arqon-mesh/{version}" for version in (self.version, *self.former)]

    @property
    def to_join(self) -> list[str]:
        """What a dial for a join offers."""
        return [f"arqon-join/{version}" for version in (self.version, *self.former)]

    def check(self, agreed: str, *, dialled: bool) -> None:
        """Raises PeerError `link.version` unless `agreed` is spoken here; `dialled`: by us. Both ends read it."""
        if agreed in (self.mesh, self.join):
            return
        ours = self.join if agreed.startswith("arqon-join/") else self.mesh
        dialling, listening = (ours, agreed) if dialled else (agreed, ours)
        raise PeerError(
            "link.version",
            f"the node that dials speaks {dialling}, the node that is dialled {listening}; update the older one",
            hint="arqon version    # on both nodes; update the older one",
        )


PROTOCOLS: Final = Protocols(PROTOCOL_VERSION, former=(1,))
"""Version 1 carried node records with the node's key in them, and text where bytes are now."""
CONNECTION_ID_BYTES: Final = 8
IDLE_TIMEOUT_S: Final = 30.0
INITIAL_RTT_S: Final = 0.1
DATAGRAM_FRAME_BYTES_MAX: Final = 65_535
FLOW_WINDOW_BYTES: Final = 16 << 20
"""Initial flow-control windows. aioquic doubles them whatever the application reads, so they never push back."""

SUPPORTED_VERSIONS: Final = [int(QuicProtocolVersion.VERSION_1)]


def configuration(leaf: Leaf, *, is_client: bool, protocols: list[str], max_datagram_size: int) -> QuicConfiguration:
    """What both ends use. AES-128 comes first: half a microsecond a packet cheaper than AES-256.

    There are no session tickets: resumption skips the client's certificate. The chain of the peer is not checked by
    TLS but by `trust.certificates.verify_chain` when the handshake is complete, hence CERT_NONE.
    """
    return QuicConfiguration(
        alpn_protocols=protocols,
        congestion_control_algorithm=congestion.NAME,
        connection_id_length=CONNECTION_ID_BYTES,
        idle_timeout=IDLE_TIMEOUT_S,
        initial_rtt=INITIAL_RTT_S,
        is_client=is_client,
        max_data=FLOW_WINDOW_BYTES,
        max_stream_data=FLOW_WINDOW_BYTES,
        max_datagram_frame_size=DATAGRAM_FRAME_BYTES_MAX,
        max_datagram_size=max_datagram_size,
        certificate=leaf.certificate,
        certificate_chain=[leaf.node_certificate],
        private_key=leaf.private_key,
        cipher_suites=[
            CipherSuite.AES_128_GCM_SHA256,
            CipherSuite.AES_256_GCM_SHA384,
            CipherSuite.CHACHA20_POLY1305_SHA256,
        ],
        supported_versions=list(SUPPORTED_VERSIONS),
        verify_mode=ssl.CERT_NONE,
    )
