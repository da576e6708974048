"""Who may open a connection: judged on the first datagram, before anything is kept for it.

A stranger's datagram costs us a header parse. An Initial costs a TLS handshake, so open handshakes are bounded, in
all and per network; above a mark the sender has to show that it receives at its address first (Retry, RFC 9000,
8.1.2), which costs us nothing to remember.

Whoever answers that and then falls silent holds a place. So half of the places are kept for addresses where members
are, by their records or because a link to there stood, and of the other half no network gets more than a part; once
that half is half full, a handshake in it that takes seconds is over.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable
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

from arqonmesh.net.addresses import host_of, network_of
from arqonmesh.net.tls import CONNECTION_ID_BYTES, SUPPORTED_VERSIONS
from arqonmesh.net.udp import SockAddr

INITIAL_BYTES_MIN: Final = 1_200
"""RFC 9000, 14.1: a client's first datagram is at least this long."""
INITIAL_BYTES_MAX: Final = 16_000
"""As long as `links.max_datagram_size` lets it be."""
HALF_OPEN_MAX: Final = 256
HALF_OPEN_PER_ADDRESS_MAX: Final = 128
"""A machine of many nodes, or a site behind one address, knocks with all of them after a cut."""
UNKNOWN_PER_NETWORK_MAX: Final = 64
"""The same where nobody is known to be."""
UNKNOWN_S: Final = 3.0
"""How long a handshake from such an address may take once half of their places are taken."""
HOSTS_MAX: Final = 4_096
"""Addresses remembered because a link to there stood; the one that was used longest ago goes first."""
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


@dataclass(frozen=True, slots=True)
class Place:
    """What an open handshake holds here. `known`: it comes from where a member is."""

    network: str
    known: bool


class Intake:
    """Counts the open handshakes, those that wait for their turn among them, and judges first datagrams.

    `member_host` says of a literal IP address whether it is in a member's record.
    """

    def __init__(
        self,
        *,
        half_open_max: int = HALF_OPEN_MAX,
        per_address_max: int = HALF_OPEN_PER_ADDRESS_MAX,
        retry_above: int = RETRY_ABOVE,
        member_host: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self._half_open_max = half_open_max
        self._per_address_max = per_address_max
        self._unknown_max = max(1, half_open_max // 2)
        self._unknown_per_network_max = min(UNKNOWN_PER_NETWORK_MAX, per_address_max)
        self._retry_above = retry_above
        self._member_host = member_host
        self._tokens = QuicRetryTokenHandler()
        self._by_network: Counter[str] = Counter()
        self._hosts: OrderedDict[str, None] = OrderedDict()
        self.half_open = 0
        self.unknown = 0
        """Of these, from addresses where nobody is known to be."""

    def linked(self, sockaddr: SockAddr) -> None:
        """A member's link from there stands."""
        host = host_of(sockaddr)
        self._hosts[host] = None
        self._hosts.move_to_end(host)
        if len(self._hosts) > HOSTS_MAX:
            self._hosts.popitem(last=False)

    def opened(self, sockaddr: SockAddr) -> Place:
        """A handshake began, or waits."""
        host = host_of(sockaddr)
        place = Place(network_of(host), self._knows(host))
        self.half_open += 1
        self.unknown += not place.known
        self._by_network[place.network] += 1
        return place

    def settled(self, place: Place) -> None:
        """A handshake ended, well or not."""
        self.half_open -= 1
        self.unknown -= not place.known
        self._by_network[place.network] -= 1
        if self._by_network[place.network] <= 0:
            del self._by_network[place.network]

    @property
    def crowded(self) -> bool:
        """Handshakes from where nobody is known to be may take `UNKNOWN_S` and no longer."""
        return 2 * self.unknown > self._unknown_max

    def _knows(self, host: str) -> bool:
        return host in self._hosts or self._member_host(host)

    def _full(self, sockaddr: SockAddr) -> bool:
        host = host_of(sockaddr)
        here = self._by_network.get(network_of(host), 0)
        if self.half_open >= self._half_open_max or here >= self._per_address_max:
            return True
        if self.unknown < self._unknown_max and here < self._unknown_per_network_max:
            return False
        return not self._knows(host)

    def judge(self, datagram: bytes, sockaddr: SockAddr, now: float) -> Accept | Answer | Drop:
        """A datagram whose connection id leads nowhere."""
        if not INITIAL_BYTES_MIN <= len(datagram) <= INITIAL_BYTES_MAX or not datagram[0] & 0x80:
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
        if self._full(sockaddr):
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
