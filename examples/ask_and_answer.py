"""Two agents on one bus: one answers private questions, the other asks. python examples/ask_and_answer.py [URL]"""

from __future__ import annotations

import asyncio
import sys

from arqonmesh.client import BusClient


async def answer(url: str, ready: asyncio.Future[str]) -> None:
    """Wait for one question and answer whoever asked."""
    async with await BusClient.connect(url, name="deep-thought") as bus:
        ready.set_result(bus.client_id)
        async for question in bus.messages(all_types=True):
            if question.type == "private":
                await bus.private(question.from_, {"answer": 42, "to": question.payload["ask"]})
                await bus.flush()
                return


async def ask(url: str, whom: str) -> None:
    async with await BusClient.connect(url, name="asker") as bus:
        await bus.private(whom, {"ask": "life, the universe and everything"})
        async for reply in bus.messages(all_types=True):
            if reply.type == "private":
                print(f"the answer is {reply.payload['answer']}", flush=True)
                return


async def main(url: str) -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    answering = asyncio.create_task(answer(url, ready))
    await asyncio.wait_for(ask(url, await ready), 10)
    await answering


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:9100"))
