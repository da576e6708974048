"""IPv4 packets by hand, and a switch between socket pairs instead of TUNs: no rights needed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from arqonmesh_testbed.fabric import Fabric
from arqonmesh_testbed.switch import Switch

ADDRESS = {"a": "10.89.0.1", "b": "10.89.0.2", "c": "10.89.0.3"}


def packet(
    source: str,
    target: str,
    payload: bytes = b"",
    *,
    ports: tuple[int, int] = (1000, 2000),
    protocol: int = 17,
    fragment: int = 0,
) -> bytes:
    """IPv4 without a checksum, which no one here looks at; `source` and `target` are names or addresses."""
    body = (
        struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
        if protocol == 17
        else struct.pack("!HH", *ports) + payload
    )
    ends = [socket.inet_aton(ADDRESS.get(end, end)) for end in (source, target)]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, fragment, 64, protocol, 0, *ends) + body


def fabric_abc(**model: int) -> Fabric:
    """a - b - c; a and c are not linked."""
    fabric = Fabric(seed=7)
    for name, address in ADDRESS.items():
        fabric.add_node(name, socket.inet_aton(address))
    fabric.add_link("a", "b", dict(model))
    fabric.add_link("b", "c", dict(model))
    return fabric


@contextlib.contextmanager
def running(fabric: Fabric) -> Iterator[tuple[Switch, dict[str, socket.socket]]]:
    """A switch in a thread; the nodes' ends of the pairs."""
    pairs = {name: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for name in ADDRESS}
    switch = Switch(fabric, {name: inner.fileno() for name, (inner, _) in pairs.items()})
    thread = threading.Thread(target=switch.run)
    thread.start()
    try:
        for _, outer in pairs.values():
            outer.settimeout(5)
        yield switch, {name: outer for name, (_, outer) in pairs.items()}
    finally:
        switch.stop()
        thread.join(5)
        for inner, outer in pairs.values():
            inner.close()
            outer.close()
