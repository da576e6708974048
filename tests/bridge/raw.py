"""A WebSocket client that can break every rule: bytes on a socket."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import urlsplit


class RawClient:
    """Frames are masked with zeros unless told otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str) -> RawClient:
        split = urlsplit(url)
        return cls(*await asyncio.open_connection(split.hostname, split.port))

    @classmethod
    async def upgraded(cls, url: str, headers: str = "Connection: Upgrade\r\n") -> RawClient:
        """After the handshake and the welcome."""
        client = await cls.open(url)
        await client.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + headers.encode() + b"\r\n"
        )
        answer = await client.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer, answer
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, 1.3
        await client.frame()
        return client

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, payload: bytes, *, first: int = 0x81, masked: bool = True) -> None:
        """One frame; `first` is its first byte (FIN, RSV, opcode)."""
        mask_bit = 0x80 if masked else 0
        if len(payload) < 126:
            head = bytes((first, mask_bit | len(payload)))
        elif len(payload) < 65_536:
            head = bytes((first, mask_bit | 126)) + len(payload).to_bytes(2, "big")
        else:
            head = bytes((first, mask_bit | 127)) + len(payload).to_bytes(8, "big")
        await self.write(head + (b"\0\0\0\0" if masked else b"") + payload)

    async def send_masked(self, payload: bytes) -> None:
        """A short text frame under a random mask."""
        mask = os.urandom(4)
        covered = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        await self.write(bytes((0x81, 0x80 | len(payload))) + mask + covered)

    async def frame(self) -> tuple[int, bytes]:
        """(first byte, payload) of the next frame from the server."""
        async with asyncio.timeout(10):
            first, second = await self.reader.readexactly(2)
            size = second
            if second == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif second == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first, await self.reader.readexactly(size)

    async def closed_with(self) -> tuple[int, str]:
        """(code, reason) of the close frame, which comes after whatever else was sent."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def hang_up(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)
