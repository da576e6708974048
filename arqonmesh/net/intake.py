"""Who may open a connection: judged on the first datagram, before anything is kept for it.

A stranger's datagram costs us a header parse. An Initial costs a TLS handshake, so open handshakes are bounded, in
all and per address; above a mark the sender has to show that it receives at its address first (Retry, RFC 9000,
8.1.2), which costs us nothing to remember.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Final

from aioquic._buffer import Buffer
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from arqonmesh.net.tls import CONNECTION_ID_BYTES, SUPPORTED_VERSIONS
from arqonmesh.net.udp import SockAddr

INITIAL_BYTES_MIN: Final = 1_200
"""RFC 9000, 14.1: a client's first datagram is at least this long."""
HALF_OPEN_MAX: Final = 256
HALF_OPEN_PER_ADDRESS_MAX: Final = 128
"""A machine of many nodes, or a site behind one address, knocks with all of them after a cut."""
RETRY_ABOVE: Final = 32
"""Open handshakes above which a newcomer's address is validated first."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Make a server connection with these ids."""

    original_destination: bytes
    retry_source: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this and keep nothing."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget it; `reason` is counted. `refused`: it was a connection that could have been."""

    reason: str
    refused: bool = False


class Intake:
    """Counts the open handshakes, those that wait for their turn among them, and judges first datagrams."""

    def __init__(
        self,
        *,
        half_open_max: int = HALF_OPEN_MAX,
        per_address_max: int = HALF_OPEN_PER_ADDRESS_MAX,
        retry_above: int = RETRY_ABOVE,
    ) -> None:
        self._half_open_max = half_open_max
        self._per_address_max = per_address_max
        self._retry_above = retry_above
        self._tokens = QuicRetryTokenHandler()
        self._by_address: Counter[str] = Counter()
        self.half_open = 0

    def opened(self, sockaddr: SockAddr) -> None:
        """A handshake began, or waits."""
        self.half_open += 1
        self._by_address[sockaddr[0]] += 1

    def settled(self, sockaddr: SockAddr) -> None:
        """A handshake ended, well or not."""
        self.half_open -= 1
        self._by_address[sockaddr[0]] -= 1
        if self._by_address[sockaddr[0]] <= 0:
            del self._by_address[sockaddr[0]]

    def judge(self, datagram: bytes, sockaddr: SockAddr, now: float) -> Accept | Answer | Drop:
        """A datagram whose connection id leads nowhere."""
        if len(datagram) < INITIAL_BYTES_MIN or not datagram[0] & 0x80:
            return Drop("drop.unknown-connection")
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=CONNECTION_ID_BYTES)
        except ValueError:
            return Drop("drop.garbage")
        if header.packet_type is QuicPacketType.VERSION_NEGOTIATION:
            return Drop("drop.unknown-connection")
        if header.version not in SUPPORTED_VERSIONS:
            versions = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=SUPPORTED_VERSIONS,
            )
            return Answer(versions)
        if header.packet_type is not QuicPacketType.INITIAL or len(header.destination_cid) < CONNECTION_ID_BYTES:
            return Drop("drop.unknown-connection")
        if self.half_open >= self._half_open_max or self._by_address.get(sockaddr[0], 0) >= self._per_address_max:
            return Drop("link.half-open-limit", refused=True)
        if header.token:
            try:
                original = self._tokens.validate_token(
                    address=sockaddr, destination_cid=header.destination_cid, token=header.token, now=now
                )
            except ValueError:
                return Drop("drop.bad-token")
            return Accept(original, header.destination_cid)
        if self.half_open >= self._retry_above:
            return Answer(self._retry(header.version, header.source_cid, header.destination_cid, sockaddr, now))
        return Accept(header.destination_cid, None)

    def _retry(self, version: int, client: bytes, original: bytes, sockaddr: SockAddr, now: float) -> bytes:
        ours = os.urandom(CONNECTION_ID_BYTES)
        token = self._tokens.create_token(
            address=sockaddr, original_destination_connection_id=original, retry_source_connection_id=ours, now=now
        )
        return encode_quic_retry(
            version=version,
            source_cid=ours,
            destination_cid=client,
            original_destination_cid=original,
            retry_token=token,
        )
