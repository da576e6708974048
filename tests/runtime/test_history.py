"""The durable history of a running node: whoever asked it something is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import HistoryQuery, KeepFrames, ReadHistory
from arqonmesh.observe.metrics import BY_NAME
from arqonmesh.runtime.history import HistoryKeeper
from arqonmesh.runtime.history_metrics import history_samples
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


async def test_an_address_that_is_no_redis_costs_nothing_of_what_is_on_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk goes on keeping the history; /health and the log say what is wrong with the address."""
    effect = KeepFrames("lost:x", "e", 1, 1, 1, (b'{"n":1}',), ours=True)
    before = HistoryKeeper(tmp_path, HistorySettings())
    before.keep(effect)
    await before.close("e")
    keeper = HistoryKeeper(tmp_path, HistorySettings(redis_url="redis://me:secret@host:port/0"))
    health = keeper.health()
    assert (keeper.durable, health["ok"], health["backend"]) == (True, False, "sqlite")
    assert health["reason"].startswith("store.redis-url: ")
    assert "sqlite keeps the history" in caplog.text
    assert "secret" not in caplog.text + str(health)
    assert len((await keeper.find(HistoryQuery("lost:x", 10, 1 << 20))).frames) == 1
    await keeper.close("f")


@pytest.mark.requirement("R-OB-2")
async def test_the_history_shows_itself_in_the_metrics(tmp_path: Path) -> None:
    """Every sample is in the catalogue with its labels; what a node does not have it does not show."""
    (tmp_path / "disk").mkdir()
    shown: dict[str, set[str]] = {}
    for name, settings in {
        "none": HistorySettings(durable=False),
        "disk": HistorySettings(),
        "both": HistorySettings(redis_url="redis://127.0.0.1:1/0"),
    }.items():
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        keeper = HistoryKeeper(folder, settings)
        found = list(history_samples(keeper))
        for sample in found:
            assert len(sample.labels) == len(BY_NAME[sample.name].labels), sample
        shown[name] = {sample.name for sample in found}
        assert next(iter(found)).value == (name != "both"), "no Redis is there"
        await keeper.close("e")
    assert shown["none"] == {"arqon_history_ok"} < shown["disk"] < shown["both"]
