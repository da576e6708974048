"""Who is where, told by each node of its own clients and known by all of the cluster."""

from __future__ import annotations

import pytest

from arqonmesh.core.bus.cluster.copies import ROWS_PER_MESSAGE
from arqonmesh.core.bus.cluster.exchange import FLUSH_US
from arqonmesh.core.bus.cluster.table import TOMBSTONES_MAX, Table
from arqonmesh.core.events import LinkDown, MemberAdmitted, MemberChanged
from arqonmesh.core.kernel import SECOND
from arqonmesh.ids import NodeId
from tests.core.bus.cluster.town import Home, Town, only


@pytest.fixture
def two() -> Town:
    town = Town("a", "b")
    town.mesh()
    town.settle()
    return town


@pytest.mark.requirement("R-BU-24")
def test_clients_of_two_nodes_see_each_other_with_type_name_and_since(two: Town) -> None:
    """channel_info answers the same at either node, and says at which node each one is."""
    a, b = two["a"], two["b"]
    ada = a.guest("lab:bench", kind="human", name="Ada", avatar="🦉")
    bot = b.guest("lab:bench", kind="ai-agent", name="Bot", personality="terse")
    two.settle()
    for home in (a, b):
        info = home.ask(home.guest(), {"type": "channel_info", "channel": "lab:bench"})["payload"]["channel"]
        assert info["member_count"] == 2
        who = {member["client_id"]: member for member in info["members"]}
        assert (who[ada]["type"], who[ada]["screen_name"], who[ada]["avatar"]) == ("human", "Ada", "🦉")
        assert (who[bot]["personality"], who[bot]["node"]) == ("terse", b.id)
        assert who[bot]["since"].startswith("2026-01-01T00:00:00")


@pytest.mark.requirement("R-BU-24")
def test_joins_and_leaves_are_noticed_at_the_other_node(two: Town) -> None:
    """Once each, with how many are in the channel in the whole cluster."""
    a, b = two["a"], two["b"]
    here = a.guest("lab:bench")
    two.settle()
    there = b.guest("lab:bench", name="Bot")
    two.settle()
    (joined,) = only(a.take(here), "joined")
    assert (joined["client_id"], joined["members"], joined["screen_name"]) == (there, 2, "Bot")
    assert b.take(there) == []
    b.send(there, {"type": "leave", "channel": "lab:bench"})
    two.settle()
    (left,) = only(a.take(here), "left")
    assert (left["client_id"], left["members"]) == (there, 1)


def test_what_was_before_the_link_is_known_after_it() -> None:
    """Clients, channels that were created, and nothing of patterns or of the mesh's own room."""
    town = Town("a", "b")
    a, b = town["a"], town["b"]
    client = a.guest("lab:bench")
    a.send(client, {"type": "join", "channel": "lab:*"}, {"type": "join", "channel": "$mesh"})
    a.send(client, {"type": "create_channel", "channel": "lab:kept"})
    town.mesh()
    town.settle()
    assert b.presence() == {"lab:bench": [(client, a.id)], "lab:kept": []}


def test_a_node_that_dies_takes_its_clients_with_it_everywhere() -> None:
    """With notices, at once, and nobody brings them back who has not heard of its death yet."""
    town = Town("a", "b", "c")
    town.mesh()
    town.settle()
    a, c = town["a"], town["c"]
    here = a.guest("lab:bench")
    gone = [town["b"].guest("lab:bench") for _ in range(3)]
    town.settle()
    a.take(here)
    town.homes.pop(NodeId("b" * 32))
    a.tell(MemberChanged(NodeId("b" * 32), "suspect", "dead", 1, "silence"))
    assert [left["client_id"] for left in only(a.take(here), "left")] == gone
    town.pass_time()  # c has not heard yet, and compares notes with a
    assert a.presence() == {"lab:bench": [(here, a.id)]}
    c.tell(MemberChanged(NodeId("b" * 32), "suspect", "dead", 1, "silence"))
    assert c.presence() == a.presence()


def test_after_a_partition_presence_is_equal_again() -> None:
    """Both sides went on meanwhile; each had taken the other for dead."""
    town = Town("a", "b")
    town.mesh()
    town.settle()
    a, b = town["a"], town["b"]
    stayed, went = a.guest("lab:bench"), a.guest("lab:bench")
    other = b.guest("lab:bench")
    town.settle()
    town.cut("a", "b")
    a.tell(MemberChanged(b.id, "suspect", "dead", 1, "silence"))
    b.tell(MemberChanged(a.id, "suspect", "dead", 1, "silence"))
    assert b.presence() == {"lab:bench": [(other, b.id)]}
    a.leave(went)
    new = b.guest("lab:bench")
    b.take(other)
    town.link("a", "b")
    a.tell(MemberChanged(b.id, "dead", "alive", 2, "refuted"))
    b.tell(MemberChanged(a.id, "dead", "alive", 2, "refuted"))
    town.settle()
    assert a.presence() == b.presence() == {"lab:bench": sorted([(stayed, a.id), (other, b.id), (new, b.id)])}
    assert [joined["client_id"] for joined in only(b.take(other), "joined")] == [stayed]


def test_a_restarted_node_begins_anew(two: Town) -> None:
    """Its clients of before are gone, whoever handed them on; those who came since are there."""
    a = two["a"]
    here = a.guest("lab:bench")
    before = two["b"].guest("lab:bench")
    two.settle()
    two.cut("a", "b")
    two.homes[NodeId("b" * 32)] = b = Home(two, "b", boot_epoch=2)
    after = b.guest("lab:bench")
    two.link("a", "b")
    two.settle()
    assert before != after
    assert a.presence() == b.presence() == {"lab:bench": sorted([(here, a.id), (after, b.id)])}


def test_nodes_without_a_link_learn_through_the_one_between() -> None:
    """a - b - c: what happens at a is known at c."""
    town = Town("a", "b", "c")
    town.link("a", "b")
    town.link("b", "c")
    client = town["a"].guest("lab:bench")
    town.settle()
    assert town["c"].presence() == {"lab:bench": [(client, town["a"].id)]}
    town["a"].leave(client)
    town.settle()
    assert town["c"].presence() == {}


def test_what_is_lost_on_the_way_is_found_by_the_next_change_or_the_next_repair(two: Town) -> None:
    """A gap is seen by the base of the rows that follow; without any, by the digests."""
    a, b = two["a"], two["b"]
    first = a.guest("lab:one")
    two.lost = 1
    two.settle()
    assert b.presence() == {}
    second = a.guest("lab:two")
    two.settle()
    assert b.presence() == {"lab:one": [(first, a.id)], "lab:two": [(second, a.id)]}
    a.leave(second)
    two.lost = 1
    two.settle()
    two.pass_time()
    assert b.presence() == {"lab:one": [(first, a.id)]}


def test_many_changes_leave_in_few_messages(two: Town) -> None:
    """Rows of FLUSH_US together, so many to a message."""
    a, b = two["a"], two["b"]
    a.guest("lab:one")
    two.settle()
    before = two.sent
    clients = 300
    for _ in range(clients):
        a.guest("lab:bench")
    two.settle()
    assert len(b.presence()["lab:bench"]) == clients
    assert two.sent - before <= 2 * clients // ROWS_PER_MESSAGE + 2
    assert a.bus.exchange.next_deadline() is not None
    assert FLUSH_US < 100_000


def test_a_changed_profile_is_seen_at_the_other_node(two: Town) -> None:
    """update_client reaches everyone; nobody is told that somebody joined."""
    a, b = two["a"], two["b"]
    client, other = a.guest("lab:bench", name="Ada"), b.guest("lab:bench")
    two.settle()
    b.take(other)
    a.send(client, {"type": "command", "command": "update_client", "args": {"screen_name": "Countess"}})
    two.settle()
    info = b.ask(other, {"type": "channel_info", "channel": "lab:bench"})["payload"]["channel"]
    assert "Countess" in [member["name"] for member in info["members"]]
    assert b.take(other) == []


def test_another_cluster_is_told_nothing_and_believed_nothing() -> None:
    """Presence ends at the cluster's border."""
    town = Town("a", "b")
    town.clusters[NodeId("b" * 32)] = "elsewhere"
    town.mesh()
    town["a"].guest("lab:bench")
    town.settle()
    assert town["b"].presence() == {}
    # b takes a for one of its own, which a does not return.
    assert {(one.reason, one.detail) for one in town["a"].dropped} == {("cluster-stranger", "b" * 32)}


def test_a_link_that_is_up_before_the_roster_names_its_peer_is_used_once_it_does() -> None:
    """The link may be faster than gossip."""
    town = Town("a", "b")
    names, town.clusters = town.clusters, {}
    town.link("a", "b")
    client = town["a"].guest("lab:bench")
    town.settle()
    town.clusters = names
    for home, other in ((town["a"], town["b"]), (town["b"], town["a"])):
        home.tell(MemberAdmitted(other.id, b"k" * 32, "hq", "spoke"))
    town.settle()
    assert town["b"].presence() == {"lab:bench": [(client, town["a"].id)]}


def test_leaving_the_mesh_forgets_the_others_with_notices(two: Town) -> None:
    """And what is told after a return has higher versions than before."""
    a, b = two["a"], two["b"]
    here, there = a.guest("lab:bench"), b.guest("lab:bench")
    two.settle()
    a.take(here)
    version = a.bus.exchange.next_deadline()
    assert version is not None
    a.perform(a.bus.left_mesh())
    assert [left["client_id"] for left in only(a.take(here), "left")] == [there]
    assert a.bus.next_deadline() is None
    two.cut("a", "b")
    a.leave(here)
    again = a.guest("lab:bench")
    two.link("a", "b")
    two.settle()
    assert b.presence() == {"lab:bench": sorted([(again, a.id), (there, b.id)])}


def test_too_many_tombstones_make_room_and_who_is_behind_gets_everything() -> None:
    """The floor rises; rows after it are still enough for those above it."""
    table = Table(1)
    for number in range(TOMBSTONES_MAX + 10):
        table.write(f"c{number}", "", 1)
        table.write(f"c{number}", "", 1, alive=False)
    table.write("alive", "", 1)
    assert len(table.rows) == TOMBSTONES_MAX + 1
    base, rows = table.after(1, 5)
    assert (base, [row[1] for row in rows]) == (0, ["alive"])
    base, rows = table.after(1, table.version - 1)
    assert (base, len(rows)) == (table.version - 1, 1)


def test_after_a_quiet_time_a_change_is_due_now_and_not_when_it_could_have_left(two: Town) -> None:
    """20 ms after the flush before it, which may be an hour ago: a deadline in the past would say that we are late."""
    a = two["a"]
    for home in two.homes.values():
        home.now += 3_600 * SECOND
    two.settle()
    a.now += SECOND
    there = a.guest("lab:bench")
    assert a.bus.next_deadline() == a.now
    two.settle()
    assert two["b"].presence()["lab:bench"] == [(there, a.id)]
    a.now += FLUSH_US // 2
    a.guest("lab:bench")
    assert a.bus.next_deadline() == a.now + FLUSH_US // 2


@pytest.mark.parametrize("what", ["join", "leave", "rows", "link"])
def test_whatever_changes_after_a_quiet_time_is_due_now(what: str) -> None:
    """Each kind of input says when it is: frames of a client, its end, rows of a third node, links told together."""
    town = Town("a", "b", "c")
    town.link("a", "b")
    town.link("b", "c")
    town.settle()
    guest, far = town["b"].guest(), town["a"].guest()
    town.settle()
    for home in town.homes.values():
        home.now += 3_600 * SECOND
        home.perform(home.bus.on_timer(home.now))
    town.settle()
    b = town["b"]
    for home in town.homes.values():
        home.now += 100 * FLUSH_US
    match what:
        case "join":
            b.send(guest, {"type": "join", "channel": "lab:bench"})
        case "leave":
            b.leave(guest)
        case "rows":
            town["a"].leave(far)
            town["a"].now += FLUSH_US
            town["a"].perform(town["a"].bus.on_timer(town["a"].now))
            town._carry()
        case "link":
            b.perform(b.bus.on_events(b.now, [LinkDown(town["c"].id, "cut")]))
    assert b.bus.next_deadline() == b.now
