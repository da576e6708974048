"""What a client may do in which channel: identity, room rules, defaults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import AuthSettings, BusSettings, RoomRule
from arqonmesh.core.bus.identity import RANKS, Identity
from arqonmesh.core.bus.permissions import ACTIONS, Permissions, wrong_permission
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import inside, is_tenant, outside, tenant_of
from arqonmesh.core.glob import matches
from tests.core.bus.house import House

ROLES = ("guest", "user", "admin")
names = st.sampled_from(["plant:press", "plant:saw", "chat:lobby", "secret:x"])
patterns = st.sampled_from(["*", "plant:*", "*:press", "chat:lobby", "secret:*"])
flags = st.sampled_from([*ROLES, "granted"])
rules = st.lists(
    st.builds(
        RoomRule,
        rooms=st.lists(patterns, min_size=1, max_size=2).map(tuple),
        **dict.fromkeys(ACTIONS, flags),
    ),
    max_size=4,
)
permission = st.builds(
    lambda sign, what, pattern: f"{sign}{what}:{pattern}",
    st.sampled_from(["", "-"]),
    st.sampled_from([*ACTIONS, "*"]),
    patterns,
)
identities = st.builds(
    Identity,
    role=st.sampled_from(ROLES),
    tenant=st.sampled_from(["", "acme", "globex"]),
    permissions=st.lists(permission, max_size=4).map(tuple),
)


def expected(rules: list[RoomRule], identity: Identity, action: str, name: str) -> bool:
    """The rules of permissions.py once more, as slowly and plainly as possible."""
    verdict = None
    for entry in identity.permissions:
        what, _, pattern = entry.lstrip("-").partition(":")
        if what in ("*", action) and matches(pattern, name):
            verdict = not entry.startswith("-")
    if verdict is not None:
        return verdict
    if identity.role == "admin":
        return True
    for rule in rules:
        if any(matches(pattern, name) for pattern in rule.rooms):
            return RANKS[identity.role] >= RANKS[getattr(rule, action)]
    needed = {"publish": "user", "create": "user", "delete": "admin"}.get(action, "guest")
    return RANKS[identity.role] >= RANKS[needed]


@pytest.mark.requirement("R-BU-14")
@given(rules, identities, st.sampled_from(ACTIONS), names)
def test_the_answer_is_that_of_the_rules_read_aloud(
    rules: list[RoomRule], identity: Identity, action: Any, name: str
) -> None:
    """Permissions, then admin, then the first rule that matches, then the defaults; twice the same, for the cache."""
    asked = Permissions(rules)
    channel = inside(identity.tenant, name)
    for _ in range(2):
        assert asked.may(identity, action, channel) is expected(rules, identity, action, name)


@pytest.mark.requirement("R-BU-14")
@given(rules, identities, st.sampled_from(ACTIONS), names, st.sampled_from(["", "acme", "globex"]))
def test_no_permission_reaches_into_another_tenant(
    rules: list[RoomRule], identity: Identity, action: Any, name: str, tenant: str
) -> None:
    """Not even an admin's."""
    if tenant != identity.tenant:
        assert not Permissions(rules).may(identity, action, inside(tenant, name))


mesh_permission = st.builds(
    lambda sign, what, pattern: f"{sign}{what}:{pattern}",
    st.sampled_from(["", "-"]),
    st.sampled_from(["join", "publish", "*"]),
    st.sampled_from(["*", "$mesh:*", "$mesh:state", "$*", "plant:*"]),
)


@pytest.mark.requirement("R-BU-14")
@given(st.lists(mesh_permission, max_size=4), st.sampled_from(ROLES), st.sampled_from(["", "acme"]), st.booleans())
def test_the_mesh_is_heard_by_who_is_of_no_tenant_by_admins_and_by_whom_it_is_opened_to(
    permissions: list[str], role: Any, tenant: str, opened: bool
) -> None:
    """A tenant's clients need more than a permission for everything: one that says `$mesh`."""
    identity = Identity("ann", role, tenant, tuple(permissions))
    named = any(p.lstrip("-").partition(":")[2].startswith("$") and p.startswith(("join", "*")) for p in permissions)
    let_near = not tenant or opened or role == "admin" or named
    asked = Permissions((), tenants_hear_mesh=opened)
    assert asked.may(identity, "join", "$mesh:state") is (let_near and expected([], identity, "join", "$mesh:state"))


def test_a_tenants_client_is_told_what_it_needs_to_hear_the_mesh_and_leaves_it_with_its_rights() -> None:
    """bus.forbidden with the setting in the hint; who authenticates as less than an admin is out of the room."""
    house = House(BusSettings(), authenticate=lambda current, token: Identity("ann", "user", "acme", via="jwt"))
    user = house.connect(identity=Identity("bob", "user", "acme"))
    refused = house.ask(user, {"type": "join", "channel": "$mesh"})["payload"]
    assert refused["code"] == "bus.forbidden"
    assert "join:$mesh:state" in refused["message"]
    assert "tenants_hear_mesh" in refused["hint"]
    admin = house.connect(identity=Identity("ann", "admin", "acme"))
    house.take(admin)
    house.send(admin, {"type": "join", "channel": "$mesh"})
    assert [frame["type"] for frame in house.take(admin)] == ["response", "event"]
    answer = house.ask(admin, {"type": "authenticate", "args": {"token": "x"}})
    assert answer["payload"]["left"] == ["$mesh:state"]
    opened = House(BusSettings(auth=AuthSettings(tenants_hear_mesh=True)))
    user = opened.connect(identity=Identity("bob", "guest", "acme"))
    opened.take(user)
    opened.send(user, {"type": "join", "channel": "$mesh"})
    assert opened.take(user)[0]["status"] == "success"


targets = st.sampled_from(["arq_1", "human", "dashboard", "owner"])
tell_permission = st.builds(
    lambda sign, what, pattern: f"{sign}{what}:{pattern}",
    st.sampled_from(["", "-"]),
    st.sampled_from(["private", "publish", "*"]),
    st.sampled_from(["*", "arq_*", "human", "*:*"]),
)


@given(st.lists(tell_permission, max_size=5), st.sampled_from(ROLES), targets)
def test_private_messages_are_judged_by_what_they_are_addressed_to(
    permissions: list[str], role: Any, target: str
) -> None:
    """The last that matches, allow or deny; else users may and guests not. `*:*` needs a colon in what it matches."""
    verdict: bool | None = None
    for entry in permissions:
        what, _, pattern = entry.lstrip("-").partition(":")
        if what in ("*", "private") and matches(pattern, target):
            verdict = not entry.startswith("-")
    wanted = RANKS[role] >= RANKS["user"] if verdict is None else verdict
    assert Permissions().may_tell(Identity("a", role, "", tuple(permissions)), target) is wanted


@given(rules, identities, st.sampled_from(ACTIONS), names)
def test_a_permission_that_comes_last_decides_alone(
    rules: list[RoomRule], identity: Identity, action: Any, name: str
) -> None:
    """Whatever stands before it, and whatever role and rooms say."""
    channel = inside(identity.tenant, name)
    for last, verdict in ((f"{action}:{name}", True), (f"-*:{name}", False), (f"*:{name.partition(':')[0]}:*", True)):
        asked = Identity("a", identity.role, identity.tenant, (*identity.permissions, last))
        assert Permissions(rules).may(asked, action, channel) is verdict


@given(rules, st.sampled_from(ACTIONS), names)
def test_a_higher_role_may_never_do_less(rules: list[RoomRule], action: Any, name: str) -> None:
    """guest <= user <= admin, whatever the rules."""
    asked = Permissions(rules)
    may = [asked.may(Identity(role=role), action, name) for role in ("guest", "user", "admin")]
    assert may == sorted(may)
    assert may[2]


@given(st.text(max_size=80), st.sampled_from(["acme", "a.b-c_9"]), names)
def test_a_tenants_name_inside_is_found_again_and_is_nobody_elses(text: str, tenant: str, name: str) -> None:
    """inside and outside are inverse; no text that is no tenant's name becomes one."""
    assert (tenant_of(inside(tenant, name)), outside(inside(tenant, name))) == (tenant, name)
    assert (tenant_of(name), outside(name)) == ("", name)
    assert not is_tenant(text) or (text.isascii() and "|" not in text and ":" not in text and len(text) <= 63)


@pytest.mark.parametrize(
    ("permissions", "words"),
    [
        (["fly:plant:*"], "ACTION:PATTERN"),
        (["publish"], "ACTION:PATTERN"),
        (["publish:"], "ACTION:PATTERN"),
        (["--publish:a:b"], "ACTION:PATTERN"),
        (["publish:" + "x" * 300], "ACTION:PATTERN"),
        (["join:a:b"] * 65, "at most 64"),
    ],
)
def test_a_permission_that_means_nothing_is_found_out(permissions: list[str], words: str) -> None:
    """One that is passed over could be a prohibition."""
    assert words in wrong_permission(permissions)
    assert not wrong_permission(["publish:plant:*", "-*:secret:*", "join:*"])


def guarded() -> House:
    """`plant` may be read by users and written with a permission; `open` is as by default."""
    rule = RoomRule(rooms=("plant:*",), join="user", publish="granted", history="admin", presence="user")
    return House(BusSettings(auth=AuthSettings(rooms=(rule,))))


@pytest.mark.requirement("R-BU-14")
@pytest.mark.requirement("R-BU-15")
def test_each_action_is_refused_with_what_it_needs() -> None:
    """join, publish, history, presence, create: code, the role that is needed, the way to it."""
    house = guarded()
    guest = house.connect(identity=Identity("eve", "guest"))
    user = house.connect(identity=Identity("bob", "user"))
    writer = house.connect(identity=Identity("press", "user", permissions=("publish:plant:press",)))
    for who, frame, words in (
        (guest, {"type": "join", "channel": "plant:press"}, "the role user"),
        (guest, {"type": "info", "channel": "plant:press"}, "the role user"),
        (guest, {"type": "event", "channel": "chat:lobby", "payload": 1}, "the role user"),
        (guest, {"type": "create", "channel": "chat:new"}, "the role user"),
        (user, {"type": "history", "channel": "plant:press"}, "the role admin"),
        (user, {"type": "event", "channel": "plant:press", "payload": 1}, "a permission publish:plant:press"),
        (writer, {"type": "event", "channel": "plant:saw", "payload": 1}, "a permission publish:plant:saw"),
    ):
        told = house.ask(who, frame)
        assert (told["type"], told["payload"]["code"]) == ("error", "bus.forbidden"), frame
        assert words in told["payload"]["message"]
        assert "authenticate" in told["payload"]["hint"]
    assert house.published == []
    house.send(user, {"type": "join", "channel": "plant:press"})
    house.send(writer, {"type": "event", "channel": "plant:press", "payload": 7})
    assert house.take(user)[-1]["payload"] == 7


@pytest.mark.requirement("R-BU-14")
def test_a_pattern_takes_only_what_its_client_may_join() -> None:
    """Also a channel that comes into being later."""
    house = guarded()
    guest, admin = house.connect(identity=Identity("eve", "guest")), house.connect(identity=Identity("root", "admin"))
    house.send(guest, {"type": "join", "channel": "*"}, {"type": "join", "channel": "plant:*"})
    house.take(guest)
    for channel in ("plant:press", "chat:lobby", "plant:later"):
        house.send(admin, {"type": "event", "channel": channel, "payload": channel})
    assert [frame["payload"] for frame in house.take(guest) if frame["type"] == "event"] == ["chat:lobby"]


def test_listings_show_what_may_be_read() -> None:
    """A channel of which nothing may be had is not named."""
    house = guarded()
    admin = house.connect(identity=Identity("root", "admin"))
    for channel in ("plant:press", "chat:lobby"):
        house.send(admin, {"type": "event", "channel": channel, "payload": 1})
    guest = house.connect(identity=Identity("eve", "guest"))
    listed = house.ask(guest, {"type": "list_channels"})["payload"]
    assert ([entry["id"] for entry in listed["channels"]], listed["total"]) == (["chat:lobby"], 1)
    listed = house.ask(admin, {"type": "list_channels"})["payload"]
    assert [entry["id"] for entry in listed["channels"]] == ["plant:press", "chat:lobby"]


def test_who_may_not_know_who_is_there_is_not_told_of_comings_and_goings() -> None:
    """The flag `presence` covers notices as it covers channel_info."""
    rule = RoomRule(rooms=("chat:*",), presence="user")
    house = House(BusSettings(auth=AuthSettings(rooms=(rule,))))
    guest, user = house.connect(identity=Identity("eve", "guest")), house.connect(identity=Identity("bob", "user"))
    for one in (guest, user):
        house.send(one, {"type": "join", "channel": "chat:lobby"})
        house.take(one)
    house.take(guest)
    house.send(house.connect(), {"type": "join", "channel": "chat:lobby"})
    assert house.take(guest) == []
    assert [frame["payload"]["event"] for frame in house.take(user)] == ["joined"]


def test_a_guest_sends_no_private_messages() -> None:
    """They would be a way around the rules of every room."""
    house = guarded()
    guest, user = house.connect(identity=Identity("eve", "guest")), house.connect()
    told = house.ask(guest, {"type": "private", "to": [user], "payload": 1})
    assert told["payload"]["code"] == "bus.forbidden"


@pytest.mark.requirement("R-BU-14")
@pytest.mark.parametrize(
    ("permissions", "to", "may"),
    [
        ((), "friend", True),
        (("-*:*",), "friend", False),
        (("-*:*", "publish:plant:*"), "friend", False),
        (("-private:*",), "friend", False),
        (("-*:*", "private:*"), "friend", True),
        (("-*:*", "private:human"), "friend", False),
        (("-*:*", "private:human"), "human", True),
        (("-*:secret:*",), "friend", True),
    ],
)
def test_a_permission_for_private_messages_names_whom_they_are_to(
    permissions: tuple[str, ...], to: str, may: bool
) -> None:
    """`-*:*` forbids everything, this too; by default users may."""
    house = House()
    friend = house.connect()
    house.send(friend, {"type": "join", "channel": "a:b"}, {"type": "update_client", "args": {"type": "human"}})
    sender = house.connect(identity=Identity("bob", "user"))
    house.send(sender, {"type": "join", "channel": "a:b"})
    house.bus.clients[sender].identity = Identity("bob", "user", permissions=permissions)
    house.take(friend)
    house.take(sender)
    house.send(sender, {"type": "private", "to": [friend if to == "friend" else to], "payload": 1})
    assert [frame["type"] for frame in house.take(friend)] == (["private"] if may else [])
    refused = [frame["payload"]["code"] for frame in house.take(sender)]
    assert refused == ([] if may else ["bus.forbidden"])
    assert not wrong_permission(permissions)


def test_a_guest_with_a_permission_sends_private_messages() -> None:
    """A permission of its own goes before the role."""
    house = House()
    friend = house.connect()
    guest = house.connect(identity=Identity("eve", "guest", permissions=("private:*",)))
    house.take(friend)
    house.send(guest, {"type": "private", "to": [friend], "payload": 1})
    assert [frame["payload"] for frame in house.take(friend)] == [1]


def test_how_many_are_in_a_channel_is_told_with_presence_alone() -> None:
    """By a join's answer and by listings, as by channel_info."""
    rule = RoomRule(rooms=("chat:*",), presence="user")
    house = House(BusSettings(auth=AuthSettings(rooms=(rule,))))
    told = {}
    for role in ("user", "guest"):
        client = house.connect(identity=Identity(role, role))
        joined = house.ask(client, {"type": "join", "channel": "chat:lobby"})["payload"]
        (listed,) = house.ask(client, {"type": "list_channels"})["payload"]["channels"]
        told[role] = joined.get("members"), listed.get("member_count")
    assert told == {"user": (1, 1), "guest": (None, None)}


@pytest.mark.parametrize(
    ("identity", "needs"),
    [
        (
            Identity("press-7", "user", permissions=("-*:*", "publish:a:b")),
            "a permission join:a:b after its -*:*, which",
        ),
        (Identity("press-7", "user", permissions=("-*:*", "-join:a:*")), "a permission join:a:b after its -join:a:*,"),
        (Identity("press-7", "guest", permissions=("-*:*",)), "a permission join:a:b after its -*:*, which forbids it"),
        (Identity("press-7", "guest"), "the role user"),
    ],
)
def test_a_refusal_names_what_refuses(identity: Identity, needs: str) -> None:
    """The permission that forbids it, though the role may be too low as well: no role would help."""
    permissions = Permissions([RoomRule(rooms=("a:*",), join="user")])
    with pytest.raises(Refusal) as refused:
        permissions.check(identity, "join", "a:b")
    said = f"press-7 ({identity.role}) may not join a:b; it needs {needs}"
    assert refused.value.sentence.startswith(said), refused.value.sentence
