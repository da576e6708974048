"""When the founder gives votes: at once to a few, and while many come, to many at a time. On a hand-moved clock."""

from __future__ import annotations

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.partition.electorate import Electorate
from arqonmesh.core.partition.registrar import CALM_US_MAX, WAIT_US_MAX, Registrar
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Vote
from tests.core.toy import node_of

NAMES = [f"node-{number}" for number in range(100)]


class Founder:
    """A registrar whose every word is held by all voters at once."""

    def __init__(self, voters: int) -> None:
        self.electorate = Electorate(node_of(NAMES[0]), "crash")
        self.registrar = Registrar(self.electorate)
        self.states: dict[NodeId, str] = {}
        self.now: Instant = 0
        self.batches: list[tuple[Instant, int]] = []
        """When votes were given, and how many."""
        self.come(voters)
        self.run(10 * SECOND)
        self.batches.clear()

    def come(self, members: int) -> None:
        """So many there are from now on."""
        self.states = dict.fromkeys((node_of(name) for name in NAMES[:members]), "alive")
        self.look()

    def look(self) -> None:
        said = self.registrar.next(self.now, self.states, lambda node: True)
        if said:
            self.batches.append((self.now, len(said)))
        self._hold(said)

    def run(self, for_us: int) -> None:
        until = self.now + for_us
        while self.registrar.due is not None and self.registrar.due <= until:
            self.now = self.registrar.due
            self.look()
        self.now = until

    def _hold(self, said: tuple[Publish, ...]) -> None:
        for publish in said:
            assert isinstance(publish.body, Vote)
            self.electorate.change(NodeId(publish.key), publish.body)
        for voter in self.electorate.voters():
            self.electorate.held(voter, self.electorate.latest)
        self.electorate.settle()
        assert not self.electorate.open


def test_among_few_a_newcomer_gets_its_vote_at_once() -> None:
    """Up to eight voters a change costs next to nothing."""
    mesh = Founder(5)
    mesh.come(6)
    assert mesh.batches == [(mesh.now, 1)]


def test_a_newcomer_among_many_waits_until_nobody_else_has_come_for_a_while() -> None:
    """Two that come a second apart share a change, four seconds after the second one."""
    mesh = Founder(40)
    mesh.come(41)
    mesh.run(SECOND)
    mesh.come(42)
    second = mesh.now
    mesh.run(10 * SECOND)
    assert mesh.batches == [(second + CALM_US_MAX, 2)]


def test_nobody_waits_for_ever_where_one_after_the_other_comes() -> None:
    """After a minute all who have come by then get their votes."""
    mesh = Founder(60)
    began = mesh.now
    for members in range(61, 86):
        mesh.come(members)
        mesh.run(3 * SECOND)
    assert mesh.batches[0] == (began + WAIT_US_MAX, 20)


def test_when_half_as_many_wait_as_vote_they_need_not_wait_any_longer() -> None:
    """A mesh that grows without a pause has a few changes, each half as large again as what was there."""
    mesh = Founder(12)
    for members in range(13, 52):
        mesh.come(members)
        mesh.run(SECOND)
    assert [given for _, given in mesh.batches] == [6, 9, 14]


def test_who_is_suspected_for_a_moment_has_not_just_come_when_it_is_back() -> None:
    """On a busy machine somebody always is: all would wait for ever."""
    mesh = Founder(40)
    mesh.come(52)
    began = mesh.now
    for turn in range(20):
        newcomer = node_of(NAMES[40 + turn % 12])
        mesh.states[newcomer] = "suspect"
        mesh.look()
        mesh.run(500 * MILLISECOND)
        mesh.states[newcomer] = "alive"
        mesh.look()
        mesh.run(500 * MILLISECOND)
    assert sum(given for _, given in mesh.batches) == 12
    assert mesh.batches[0][0] <= began + CALM_US_MAX + SECOND


def test_who_died_while_it_waited_is_waited_for_no_more() -> None:
    """It comes anew when it is alive again."""
    mesh = Founder(40)
    mesh.come(41)
    mesh.run(3 * SECOND)
    mesh.states[node_of(NAMES[40])] = "dead"
    mesh.look()
    mesh.run(3 * SECOND)
    mesh.come(41)
    again = mesh.now
    mesh.run(10 * SECOND)
    assert mesh.batches == [(again + CALM_US_MAX, 1)]
