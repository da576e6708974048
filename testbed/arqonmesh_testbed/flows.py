"""A stateful packet filter as a home router has one: what was not asked for does not get in."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

FLOWS_MAX: Final = 4_096
IDLE_US: Final = 120_000_000
"""A mapping must live at least two minutes (RFC 4787, REQ-5); it is refreshed by what goes out and what comes back."""
UDP: Final = 17
TCP: Final = 6

_Key = tuple[int, bytes, bytes]


class Flows:
    """The flows that one node opened. Full: the one idle for longest is forgotten, and counted."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._seen: OrderedDict[_Key, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def went_out(self, now_us: int, packet: bytes) -> None:
        """Remember whom the node spoke to. `packet` is IPv4."""
        ports = _ports(packet)
        if ports is not None:
            self._remember((packet[9], packet[16:20], ports), now_us)

    def may_come_in(self, now_us: int, packet: bytes) -> bool:
        """Whether a packet answers a flow that the node opened. Only UDP and TCP are judged; ICMP passes."""
        if packet[9] not in (UDP, TCP):
            return True
        ports = _ports(packet)
        if ports is None:
            return False  # a later fragment tells no ports, so it cannot be shown to answer anything
        key = (packet[9], packet[12:16], ports[2:] + ports[:2])
        last_us = self._seen.get(key)
        if last_us is None or now_us - last_us > IDLE_US:
            return False
        self._remember(key, now_us)
        return True

    def _remember(self, key: _Key, now_us: int) -> None:
        self._seen[key] = now_us
        self._seen.move_to_end(key)
        if len(self._seen) > FLOWS_MAX:
            self._seen.popitem(last=False)
            self.forgotten += 1


def _ports(packet: bytes) -> bytes | None:
    """Source and destination port, 4 bytes as on the wire; None for a later fragment or another protocol."""
    if packet[9] not in (UDP, TCP) or (packet[6] & 0x1F) | packet[7]:
        return None
    start = (packet[0] & 0x0F) * 4
    ports = packet[start : start + 4]
    return ports if len(ports) == 4 else None
