"""The durable history of a running node: whoever asked it something is answered."""

from __future__ import annotations

from pathlib import Path

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import HistoryQuery, ReadHistory
from arqonmesh.runtime.history import HistoryKeeper
from tests.waiting import until


async def test_a_question_that_comes_while_the_history_is_closed_is_answered(tmp_path: Path) -> None:
    """Whatever goes wrong below is an answer, too: a client waits for one, and there is room for so many that wait."""
    keeper = HistoryKeeper(tmp_path, HistorySettings())
    answers: list[HistoryRead] = []
    keeper.answered = answers.append
    keeper.read(ReadHistory(1, HistoryQuery("a:b", 10, 1 << 20)))
    await until(lambda: len(answers) == 1)
    await keeper.close("")
    keeper.read(ReadHistory(2, HistoryQuery("a:b", 10, 1 << 20)))
    await until(lambda: len(answers) == 2)
    assert [(answer.token, bool(answer.failed)) for answer in answers] == [(1, False), (2, True)]
