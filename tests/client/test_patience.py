"""How long a client waits for an answer that comes behind much else."""

from __future__ import annotations

import pytest

from arqonmesh.client import BusClient
from arqonmesh.client import questions as questions_module
from arqonmesh.errors import TimedOut
from tests.client.nodes import OddNode


async def test_a_join_waits_for_as_long_as_anything_comes() -> None:
    """Who comes back to many channels and reads slowly is answered behind the others' past."""
    async with OddNode("talks") as node, await BusClient.connect(node.url) as member:
        await member._session.ask("join_channel", {"channel": "a:b"}, 0.1, patience_s=1)
        assert node.told == 15


async def test_a_command_of_the_application_has_its_own_time() -> None:
    """Whatever comes meanwhile."""
    async with OddNode("talks on") as node, await BusClient.connect(node.url) as member:
        with pytest.raises(TimedOut, match=r"within 0\.1 s"):
            await member.command("ping", timeout_s=0.1)
        node.manner = "answers"


async def test_a_join_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where other things come and come."""
    monkeypatch.setattr(questions_module, "ANSWER_MAX_S", 0.15)
    async with OddNode("talks on") as node, await BusClient.connect(node.url) as member:
        with pytest.raises(TimedOut):
            await member._session.ask("join_channel", {"channel": "a:b"}, 0.1, patience_s=1)
        node.manner = "answers"


async def test_what_this_client_does_not_read_is_no_silence() -> None:
    """Its application is slow: the answer lies in the socket, behind what waits to be read."""
    async with OddNode("talks") as node, await BusClient.connect(node.url) as member:
        connection = member._session._link.connection
        assert connection is not None
        connection.read(False)
        before = connection.signs()
        assert connection.signs() != before
        connection.read(True)
        before = connection.signs()
        assert connection.signs() == before
