"""The name of a broadcast payload, made from what it is: no relay can alter one under its name, and none is sent."""

from __future__ import annotations

import hashlib
from typing import Final

_DOMAIN: Final = b"arqonmesh/v1/broadcast\x00"


def broadcast_id(topic: str, data: bytes) -> bytes:
    """The 16 bytes that name a payload: its truncated SHA-256."""
    return hashlib.sha256(b"%b%b\x00%b" % (_DOMAIN, topic.encode(), data)).digest()[:16]
