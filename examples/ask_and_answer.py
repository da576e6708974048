"""Agents that work together: one offers a service in a channel, one asks there, and asks back in private.

python examples/ask_and_answer.py [URL]
"""

from __future__ import annotations

import argparse

from arqonmesh.client import BusClient, Message
from arqonmesh.client.program import arguments, run
from arqonmesh.errors import ArqonError

SERVICE = "agents:questions"


def answer(question: Message) -> dict[str, object]:
    """What it returns is the answer; what it raises is the asker's error."""
    if question.payload["ask"] != "life, the universe and everything":
        raise ValueError("nobody knows that")
    return {"answer": 42, "by": "deep-thought"}


async def main(options: argparse.Namespace) -> None:
    async with (
        await BusClient.connect(options.url, options.token, name="deep-thought", kind="ai-agent") as agent,
        await BusClient.connect(options.url, options.token, name="asker", kind="ai-agent") as asker,
    ):
        agent.on_request(answer, channel=SERVICE)  # questions to whoever listens there
        agent.on_request(lambda question: "I am sure")  # questions to this one agent
        await agent.join(SERVICE)

        reply = await asker.request(SERVICE, {"ask": "life, the universe and everything"})
        print(f"the answer is {reply.payload['answer']}", flush=True)
        print(f"are you sure? {(await asker.request(reply.from_, 'are you sure?')).payload}", flush=True)
        try:
            await asker.request(SERVICE, {"ask": "the meaning of 42"})
        except ArqonError as error:
            print(f"and the meaning of 42? {error}", flush=True)


if __name__ == "__main__":
    run(main, arguments(__doc__).parse_args())
