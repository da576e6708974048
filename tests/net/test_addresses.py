"""Addresses that are written differently and lead to one place."""

from __future__ import annotations

import pytest

from arqonmesh.net.addresses import is_among


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("10.0.0.7:9130", "10.0.0.7:9130"),
        ("quic://HQ.example.org:9130", "hq.example.org:9130"),
        ("localhost:9130", "127.0.0.1:9130"),
        ("[::ffff:10.0.0.7]:9130", "10.0.0.7:9130"),
        ("[fd00:0::7]:9130", "[fd00::7]:9130"),
        ("127.0.0.1:9130", "0.0.0.0:9130"),
        ("[::1]:9130", "[::]:9130"),
        ("127.0.0.2:9130", "0.0.0.0:9130"),
        ("127.255.0.9:9130", "[::]:9130"),
        ("[::ffff:127.0.0.2]:9130", "0.0.0.0:9130"),
        ("0.0.0.0:9130", "127.0.0.1:9130"),
        ("0.0.0.0:9130", "0.0.0.0:9130"),
        ("0.0.0.0:9130", "[::]:9130"),
        ("[::]:9130", "[::1]:9130"),
        ("[::]:9130", "[::]:9130"),
    ],
)
def test_an_address_is_found_among_ones_own_however_it_is_written(text: str, own: str) -> None:
    """Whoever listens everywhere listens on its loopback, too."""
    assert is_among(text, ["192.0.2.1:1", own])


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("10.0.0.7:9131", "10.0.0.7:9130"),
        ("10.0.0.8:9130", "10.0.0.7:9130"),
        ("10.0.0.8:9130", "0.0.0.0:9130"),
        ("127.0.0.1:9131", "[::]:9130"),
        ("[::1]:9130", "0.0.0.0:9130"),
        ("[::]:9130", "0.0.0.0:9130"),
        ("0.0.0.0:9130", "10.0.0.7:9130"),
        ("127.0.0.2:9130", "127.0.0.1:9130"),
        ("other.example.org:9130", "[::]:9130"),
        ("other.example.org:9130", "hq.example.org:9130"),
    ],
)
def test_another_port_or_host_is_somebody_elses(text: str, own: str) -> None:
    """Also where one listens everywhere: which other addresses are this machine's is not known here. On 0.0.0.0 nobody
    hears [::1], where another process may listen."""
    assert not is_among(text, [own])
