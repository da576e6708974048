"""Whatever happens, in whatever order: once all links are whole and time has passed, every node tells the same."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from arqonmesh.core.events import MemberChanged
from arqonmesh.ids import ClientId
from tests.core.bus.cluster.town import Town

LETTERS = "abc"
PAIRS = st.sampled_from([("a", "b"), ("b", "c"), ("a", "c")])
CHANNELS = st.sampled_from(["lab:one", "lab:two", "hall:one"])


class Cluster(RuleBasedStateMachine):
    """Three nodes; links come and go, messages are lost, nodes are taken for dead and come back."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.town = Town(*LETTERS)
        self.town.mesh()
        self.expected: dict[str, dict[str, str]] = {}

    @rule(target=clients, letter=st.sampled_from(LETTERS), channel=CHANNELS)
    def connect(self, letter: str, channel: str) -> tuple[str, ClientId]:
        client = self.town[letter].guest(channel)
        self.expected.setdefault(channel, {})[client] = self.town[letter].id
        return letter, client

    @rule(who=clients, channel=CHANNELS)
    def join(self, who: tuple[str, ClientId], channel: str) -> None:
        letter, client = who
        self.town[letter].send(client, {"type": "join", "channel": channel})
        self.expected.setdefault(channel, {})[client] = self.town[letter].id

    @rule(who=clients, channel=CHANNELS)
    def leave(self, who: tuple[str, ClientId], channel: str) -> None:
        letter, client = who
        self.town[letter].send(client, {"type": "leave", "channel": channel})
        self.expected.get(channel, {}).pop(client, None)

    @rule(who=consumes(clients))
    def disconnect(self, who: tuple[str, ClientId]) -> None:
        letter, client = who
        self.town[letter].leave(client)
        for members in self.expected.values():
            members.pop(client, None)

    @rule(pair=PAIRS, dead=st.booleans())
    def part(self, pair: tuple[str, str], dead: bool) -> None:
        one, other = self.town[pair[0]], self.town[pair[1]]
        if frozenset((one.id, other.id)) in self.town.links:
            self.town.cut(*pair)
            if dead:
                one.tell(MemberChanged(other.id, "suspect", "dead", 1, "silence"))

    @rule(pair=PAIRS)
    def meet(self, pair: tuple[str, str]) -> None:
        one, other = self.town[pair[0]], self.town[pair[1]]
        if frozenset((one.id, other.id)) not in self.town.links:
            self.town.link(*pair)
        one.tell(MemberChanged(other.id, "dead", "alive", 2, "refuted"))

    @rule(messages=st.integers(1, 4))
    def lose(self, messages: int) -> None:
        self.town.lost += messages

    @rule()
    def settle(self) -> None:
        self.town.settle()

    @invariant()
    def nobody_tells_twice_of_one_client(self) -> None:
        for home in self.town.homes.values():
            assert not set(home.bus.clients) & set(home.bus.exchange.view.clients)

    def teardown(self) -> None:
        self.town.lost = 0
        for pair in (("a", "b"), ("b", "c"), ("a", "c")):
            self.meet(pair)
            self.meet((pair[1], pair[0]))
        for _ in range(4):
            self.town.pass_time()
        expected = {name: sorted(members.items()) for name, members in self.expected.items() if members}
        for home in self.town.homes.values():
            assert home.presence() == expected
        super().teardown()


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
