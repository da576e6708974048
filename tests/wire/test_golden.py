"""Frames of earlier versions, kept as they were on the wire: every later version reads them.

The second version writes node ids in bodies as bytes and the links flat, because they were most of what an idle mesh
says; bodies of the first are still read, and signed statements keep the bytes that were signed.
A new message or body is added to the files by `python -m tests.wire.test_golden`, which keeps what is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from arqonmesh.core.kernel import SECOND, Lane
from arqonmesh.errors import DecodeError
from arqonmesh.sim.scenarios import star
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.codec import IDS, MESSAGE_TYPES, decode_message, encode_message
from arqonmesh.wire.statement import BODY_TYPES, Kind, NodeRecord, decode_body
from tests.wire.examples import BODIES, MESSAGES

FILE: Final = Path(__file__).with_name("golden_v1.json")
SECOND_FILE: Final = Path(__file__).with_name("golden_v2.json")
GOLDEN: Final[dict[str, dict[str, str]]] = json.loads(FILE.read_text()) if FILE.exists() else {}
GOLDEN_V2: Final[dict[str, dict[str, str]]] = json.loads(SECOND_FILE.read_text()) if SECOND_FILE.exists() else {}
BODIES_V2: Final = GOLDEN_V2.get("bodies", {})
MESSAGES_V2: Final = GOLDEN_V2.get("messages", {})
CHANGED: Final = ("BroadcastPayload", "Heartbeat", *(MESSAGE_TYPES[tag].__name__ for tag in IDS))
"""Written otherwise by the second version, which does not speak with the first: the name of a payload is made and not
sent, nodes are named by their bytes, and heartbeats say what was missed."""


def golden() -> dict[str, dict[str, str]]:
    """What the examples are today, and what the file has over it."""
    messages = {type(message).__name__: encode_message(message).hex() for message in MESSAGES}
    return {"messages": messages | GOLDEN.get("messages", {}), "bodies": GOLDEN.get("bodies", {})}


def second() -> dict[str, dict[str, str]]:
    """The same of the bodies and of the messages that the second version writes otherwise."""
    bodies = {str(int(kind)): body.encode().hex() for kind, body in BODIES.items()}
    named = {type(message).__name__: encode_message(message).hex() for message in MESSAGES}
    return {"messages": {name: named[name] for name in CHANGED} | MESSAGES_V2, "bodies": bodies | BODIES_V2}


def test_every_type_is_in_the_file() -> None:
    """Or a later version could change it unseen."""
    assert set(GOLDEN["messages"]) == {kind.__name__ for kind in MESSAGE_TYPES.values()}
    assert set(BODIES_V2) == {str(kind) for kind in BODY_TYPES}


@pytest.mark.parametrize("name", CHANGED)
def test_a_frame_that_has_changed_is_refused_and_not_misread(name: str) -> None:
    """By its number of fields; as the second version writes it, it is read."""
    with pytest.raises(DecodeError):
        decode_message(bytes.fromhex(GOLDEN["messages"][name]))
    data = bytes.fromhex(MESSAGES_V2[name])
    assert encode_message(decode_message(data)) == data


@pytest.mark.parametrize("name", sorted(frozenset(GOLDEN.get("messages", {})) - frozenset(CHANGED)))
def test_a_frame_of_the_first_version_is_still_read(name: str) -> None:
    """It decodes to the same type, and that encodes to the same bytes."""
    data = bytes.fromhex(GOLDEN["messages"][name])
    message = decode_message(data)
    assert type(message).__name__ == name
    assert encode_message(message) == data


@pytest.mark.parametrize("kind", sorted(GOLDEN.get("bodies", {})))
def test_a_body_of_the_first_version_is_still_read(kind: str) -> None:
    """Statements are signed: their bytes are for ever, whatever later versions write."""
    assert decode_body(int(kind), bytes.fromhex(GOLDEN["bodies"][kind])) == BODIES[Kind(int(kind))]


@pytest.mark.parametrize("kind", sorted(BODIES_V2))
def test_a_body_of_the_second_version_is_still_read(kind: str) -> None:
    """And written: the same bytes come back."""
    data = bytes.fromhex(BODIES_V2[kind])
    body = decode_body(int(kind), data)
    assert body is not None and body.encode() == data


def test_a_record_that_does_not_repeat_the_nodes_key_is_read_and_32_bytes_shorter() -> None:
    """The admission has the key; a record of older nodes has it, too, and is read as it was signed."""
    old = bytes.fromhex(BODIES_V2[str(int(Kind.NODE))])
    record = decode_body(Kind.NODE, old)
    assert isinstance(record, NodeRecord) and len(record.node_key) == 32
    short = replace(record, node_key=b"")
    assert decode_body(Kind.NODE, short.encode()) == short
    assert len(short.encode()) == len(old) - 33


def test_a_running_node_withstands_every_old_frame_on_every_lane() -> None:
    """From a linked member, on the right lane or a wrong one: judged, never a crash, and the node goes on."""
    sim = Simulation(1)
    star(sim, 1)
    hub, spoke = sim.processes["hub"], sim.processes["spoke-1"]
    for name in sorted(GOLDEN["messages"]):
        for lane in Lane:
            data = bytes.fromhex(GOLDEN["messages"][name])
            hub.perform(hub.running.frame(hub.now(), spoke.node_id, lane, data))
    sim.run_for(2 * SECOND)
    assert hub.alive and hub.running.plane is not None


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
    SECOND_FILE.write_text(json.dumps(second(), indent=1, sort_keys=True) + "\n")
