"""Bus clients: at every node one that listens and, where wanted, one that talks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arqonmesh.ids import ClientId
from arqonmesh.sim.ledger import Ledger, Said
from arqonmesh.sim.process import Process

EXPORTED: Final = "telemetry:host"
KEPT: Final = "raw:proc"
CHANNELS: Final = (EXPORTED, KEPT)


class Payload(msgspec.Struct):
    origin: str
    life: int
    number: int


class Frame(msgspec.Struct):
    """The part of a canonical frame that the ledger needs."""

    type: str = ""
    room: str = ""
    channel: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")


_FRAMES: Final = msgspec.json.Decoder(Frame)
_PAYLOADS: Final = msgspec.json.Decoder(Payload)


def parse_frame(frame: bytes) -> Said | None:
    """Which message of the ledger this canonical frame is; None for what the bus itself says."""
    envelope = _FRAMES.decode(frame)
    if envelope.type != "event":
        return None
    payload = _PAYLOADS.decode(envelope.payload)
    return Said(payload.origin, payload.life, f"{envelope.room}:{envelope.channel}", payload.number)


class Listener:
    """Hears all channels at its node, in every life of it."""

    def __init__(self, process: Process, ledger: Ledger, channels: Sequence[str] = CHANNELS) -> None:
        self._channels = channels
        self._process = process
        self._ledger = ledger
        process.on_boot.append(self._connect)

    def _connect(self, process: Process) -> None:
        client = process.connect_client("listener", self._hear)
        for channel in self._channels:
            process.client_says(client, msgspec.json.encode({"type": "join", "channel": channel}))

    def _hear(self, frames: tuple[bytes, ...]) -> None:
        process = self._process
        for frame in frames:
            process.world.trace.add(process.world.now, process.name, "hears", frame)
            message = parse_frame(frame)
            if message is not None:
                self._ledger.hear(process.name, process.lives, message)


class Talker:
    """Says something on each channel every `every_us`, while its node runs and nobody stopped it."""

    def __init__(self, process: Process, ledger: Ledger, every_us: int, channels: Sequence[str] = CHANNELS) -> None:
        self._channels = channels
        self._process = process
        self._ledger = ledger
        self._every_us = every_us
        self._client: ClientId | None = None
        self._number = 0
        self.talking = False
        process.on_boot.append(self._connect)

    def start(self) -> None:
        if self.talking:
            return
        self.talking = True
        self._turn(self._process.lives)

    def _connect(self, process: Process) -> None:
        self._client = process.connect_client("talker", lambda frames: None)
        self._number = 0
        if self.talking:
            self._turn(process.lives)

    def _turn(self, life: int) -> None:
        process = self._process
        if not self.talking or not process.alive or process.lives != life:
            return
        if not process.paused:
            self._say(process, life)
        process.world.after(self._every_us, lambda: self._turn(life))

    def _say(self, process: Process, life: int) -> None:
        assert self._client is not None
        self._number += 1
        for channel in self._channels:
            message = Said(process.name, life, channel, self._number)
            self._ledger.say(process.world.now, message)
            room, leaf = channel.split(":")
            payload = Payload(process.name, life, self._number)
            frame = {"type": "event", "room": room, "channel": leaf, "payload": payload}
            process.client_says(self._client, msgspec.json.encode(frame))
