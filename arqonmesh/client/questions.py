"""What was asked and not yet answered: commands, sends that want a receipt, and requests to other clients."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from arqonmesh.client.message import Message
from arqonmesh.errors import ArqonError

ANSWER_MAX_S: Final = 600.0
"""However much else comes meanwhile."""


class Questions:
    """Answers are matched by the id of what they answer; an id is never used twice, so a late answer finds nobody."""

    def __init__(self) -> None:
        self.late = 0
        """Answers to what was given up."""
        self._open: dict[str, asyncio.Future[Message]] = {}
        self._prefix = f"q{secrets.token_hex(4)}-"
        self._count = 0

    def __len__(self) -> int:
        return len(self._open)

    def ask(self) -> tuple[str, asyncio.Future[Message]]:
        """An id for a frame that is about to be sent, and the future of its answer. Ends with `forget`."""
        self._count += 1
        id_ = f"{self._prefix}{self._count}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[id_] = answer
        return id_, answer

    def forget(self, id_: str) -> None:
        self._open.pop(id_, None)

    def answered(self, message: Message) -> bool:
        """Whether this is an answer to something that this client asked; who asked has it then."""
        id_ = message.request_id
        if not id_ and message.type == "private":
            id_ = message.correlation_id
        if not id_.startswith(self._prefix):
            return False
        answer = self._open.get(id_)
        if answer is None or answer.done():
            self.late += 1
        else:
            answer.set_result(message)
        return True

    async def wait(self, answer: asyncio.Future[Message], silence_s: float, signs: Callable[[], int]) -> Message:
        """Until it comes, behind whatever else does: a bus sends as fast as its client reads. Raises TimeoutError when
        nothing comes at all for so long. `signs`: of life, another number when there were some."""
        end_s = asyncio.get_running_loop().time() + ANSWER_MAX_S
        while True:
            before = signs()
            done, _ = await asyncio.wait((answer,), timeout=silence_s)
            if done:
                return answer.result()
            if signs() == before or asyncio.get_running_loop().time() > end_s:
                raise TimeoutError

    def fail(self, problem: ArqonError) -> None:
        """Nothing will be answered any more on this connection."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(problem)
