#!/usr/bin/env python3
# mypy: ignore-errors
"""A client of ArqonBus 1.0, as its users write them: the `websockets` library, JSON, and nothing of this project.

    arqonbus_1_0_client.py ws://HOST:PORT JWT

It runs as a process of its own and is not to be changed: that it goes on working is what the test of it says.
"""

import asyncio
import json
import sys
import uuid
from datetime import UTC, datetime

import websockets


def envelope(kind, **fields):
    """A message as ArqonBus 1.0 has it: version, id with the prefix, time as datetime writes it."""
    return {
        "version": "1.0",
        "id": f"arq_{uuid.uuid4().hex}",
        "type": kind,
        "timestamp": datetime.now(UTC).isoformat(),
        **fields,
    }


class Client:
    def __init__(self, name):
        self.name = name
        self.id = None
        self.socket = None
        self.messages = []

    async def connect(self, url, token):
        self.socket = await websockets.connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None)
        welcome = json.loads(await self.socket.recv())
        assert welcome["version"] == "1.0", welcome
        assert welcome["type"] == "message", welcome
        assert welcome["payload"]["welcome"], welcome
        self.id = welcome["payload"]["client_id"]
        assert self.id.startswith("arq_"), self.id

    async def send(self, message):
        await self.socket.send(json.dumps(message))
        return message["id"]

    async def answer_to(self, request_id):
        """The answer to a request; messages that come before it are kept."""
        while True:
            frame = json.loads(await asyncio.wait_for(self.socket.recv(), 10))
            assert frame["version"] == "1.0", frame
            if frame.get("request_id") == request_id:
                return frame
            self.messages.append(frame)

    async def next_message(self):
        """The next message of another client; notices of the bus are passed over."""
        while True:
            if self.messages:
                frame = self.messages.pop(0)
            else:
                frame = json.loads(await asyncio.wait_for(self.socket.recv(), 10))
            if frame["type"] == "message" and frame.get("sender") != "arqonbus":
                return frame


async def main(url, token):
    alice, bob = Client("alice"), Client("bob")
    await alice.connect(url, token)
    await bob.connect(url, token)

    # A command at the top of the message, with args.
    asked = await alice.send(
        envelope("command", command="join_channel", args={"room": "science", "channel": "explore"})
    )
    answer = await alice.answer_to(asked)
    assert (answer["type"], answer["status"]) == ("response", "success"), answer

    # The same in the payload, with parameters; the channel as channel_id. The answer's id ends in _response.
    asked = await bob.send(
        envelope(
            "command",
            sender=bob.id,
            payload={"command": "join_channel", "parameters": {"channel_id": "science:explore"}},
        )
    )
    answer = await bob.answer_to(asked)
    assert (answer["type"], answer["status"]) == ("command_response", "success"), answer
    assert answer["id"] == f"{asked}_response", answer
    assert answer["result"]["success"] is True, answer

    # A message to the channel; the sender does not get its own. Fields of one's own travel along.
    await alice.send(
        envelope(
            "message", room="science", channel="explore", from_client=alice.id, payload={"text": "hi"}, mood="good"
        )
    )
    heard = await bob.next_message()
    assert heard["payload"] == {"text": "hi"}, heard
    assert heard["sender"] == heard["from_client"] == heard["from"] == alice.id, heard
    assert (heard["room"], heard["channel"], heard["mood"]) == ("science", "explore", "good"), heard
    assert heard["id"].startswith("arq_"), heard
    assert datetime.fromisoformat(heard["timestamp"]).tzinfo is not None, heard

    # A private message, in both spellings.
    await bob.send(envelope("message", to_client=alice.id, from_client=bob.id, payload={"text": "psst"}))
    heard = await alice.next_message()
    assert (heard["payload"], heard["to_client"], heard["sender"]) == ({"text": "psst"}, alice.id, bob.id), heard
    await alice.send(envelope("private", sender=alice.id, payload={"target": bob.id, "text": "what?"}))
    heard = await bob.next_message()
    assert heard["payload"]["text"] == "what?", heard

    # History, in both spellings.
    asked = await bob.send(
        envelope(
            "command", payload={"command": "history", "parameters": {"channel_id": "science:explore", "limit": 10}}
        )
    )
    answer = await bob.answer_to(asked)
    assert [one["payload"] for one in answer["result"]["messages"]] == [{"text": "hi"}], answer
    asked = await alice.send(envelope("command", command="history", args={"room": "science", "channel": "explore"}))
    answer = await alice.answer_to(asked)
    assert answer["payload"]["data"]["messages"][0]["sender"] == alice.id, answer

    # The other commands that a 1.0 client knows.
    for command, args in (
        ("status", {}),
        ("ping", {}),
        ("create_channel", {"name": "science:design"}),
        ("list_channels", {"room": "science"}),
        ("channel_info", {"channel": "science:explore"}),
        ("leave_channel", {"channel": "science:explore"}),
    ):
        asked = await alice.send(envelope("command", command=command, args=args))
        answer = await alice.answer_to(asked)
        assert answer["status"] == "success", answer

    # A mistake: an error with its code, tied to the request.
    asked = await alice.send(envelope("command", command="fly"))
    answer = await alice.answer_to(asked)
    assert (answer["type"], answer["status"]) == ("error", "error"), answer
    assert answer["error_code"] == answer["error"]["code"], answer
    assert answer["error"]["message"], answer
    assert answer["payload"]["errors"], answer

    await alice.socket.close()
    await bob.socket.close()

    # Without the token the door stays shut.
    try:
        await websockets.connect(url, proxy=None)
        status = 101
    except websockets.exceptions.InvalidStatus as refused:
        status = refused.response.status_code
    assert status == 401, status
    print("ok")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
