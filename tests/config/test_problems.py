"""Every problem of a file at once, where values come from, and what a running node can take."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.changes import MASK, changes, hot_part, plain
from arqonmesh.config.environ import strangers, variable_of
from arqonmesh.config.fields import settings
from arqonmesh.config.load import examine, loads
from arqonmesh.config.model import Config, NodeSettings
from arqonmesh.errors import CATALOGUE

MINIMAL = b"node: {cluster: hq}\n"


def found(text: str, **environ: str) -> list[tuple[str, str, str]]:
    """(code, key, place) of everything that is wrong."""
    return [
        (problem.code, problem.key, str(problem.origin)) for problem in examine(text.encode(), environ=environ).problems
    ]


@pytest.mark.requirement("R-CF-1")
def test_one_look_finds_every_problem_of_a_file_and_its_environment() -> None:
    """Names, types, bounds, missing, twice, tags: each with its key and place; none hides behind another."""
    text = """\
node: {role: boss}
buss: {}
listen:
  advertise: [a:1, 2, b:2, 3]
bus:
  clients_max: many
  clients_max: 3
  rooms:
    - {room: a, channels: [x, 7]}
    - {rom: b, room: b}
  auth: {jwt: {secret: 77}}
log: {level: !!python/name:os.getcwd x}
"""
    assert found(text, ARQON_BUS__RATE_PER_S="-1", ARQON_BUS__NOTHING="1") == [
        ("config.type", "node.role", "arqon.yaml, line 1"),
        ("config.missing-key", "node.cluster", "arqon.yaml, line 1"),
        ("config.unknown-key", "buss", "arqon.yaml, line 2"),
        ("config.type", "listen.advertise[1]", "arqon.yaml, line 4"),
        ("config.type", "listen.advertise[3]", "arqon.yaml, line 4"),
        ("config.type", "bus.clients_max", "arqon.yaml, line 6"),
        ("config.duplicate-key", "bus.clients_max", "arqon.yaml, lines 6 and 7"),
        ("config.type", "bus.rooms[0].channels[1]", "arqon.yaml, line 9"),
        ("config.unknown-key", "bus.rooms[1]", "arqon.yaml, line 10"),
        ("config.type", "bus.auth.jwt.secret", "arqon.yaml, line 11"),
        ("config.syntax", "log.level", "arqon.yaml, line 12"),
        ("config.unknown-key", "bus.nothing", "environment ARQON_BUS__NOTHING"),
        ("config.type", "bus.rate_per_s", "environment ARQON_BUS__RATE_PER_S"),
    ]


def test_every_broken_relation_is_told() -> None:
    """Relations are judged together once all values are right."""
    text = "node: {cluster: A B}\nlisten: {bus: x, http: y}\noverlay: {prwl: 9}\n"
    assert [key for _, key, _ in found(text)] == ["node.cluster", "listen.bus", "listen.http", "overlay.prwl"]


def test_a_secret_that_does_not_fit_is_not_repeated_in_the_error() -> None:
    """What is typed wrong may still be most of a password."""
    (problem,) = examine(b"node: {cluster: hq}\nbus: {auth_token: 12345678}").problems
    assert "12345678" not in problem.sentence


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["hq", "x", "h:1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "room", "rooms", "channels", "allow", "history"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["node", "bus", "federation", "listen", "x"]), _VALUES, max_size=4))
def test_whatever_is_in_a_file_it_is_understood_or_every_problem_has_a_code_and_a_place(
    tree: dict[str, object],
) -> None:
    """It ends, and what it says can be explained."""
    seen = examine(msgspec.json.encode(tree))
    assert (seen.config is None) == bool(seen.problems)
    for problem in seen.problems:
        assert problem.code in CATALOGUE
        assert problem.origin.kind == "file"
        assert problem.sentence


def test_where_each_value_comes_from_is_known() -> None:
    """Default, file and line, or variable; older names and halves of addresses, too."""
    seen = examine(
        b"node: {cluster: hq}\nbus:\n  history: 3\n  rate_per_s: 5\n",
        environ={"ARQONBUS_SERVER_PORT": "1", "ARQON_BUS__RATE_PER_S": "6"},
    )
    told = {name: str(seen.origin(tuple(name.split(".")))) for name in (
        "node.cluster", "node.role", "bus.history.per_channel", "bus.rate_per_s", "listen.bus",
    )}  # fmt: skip
    assert told == {
        "node.cluster": "arqon.yaml, line 1",
        "node.role": "default",
        "bus.history.per_channel": "arqon.yaml, line 3",
        "bus.rate_per_s": "environment ARQON_BUS__RATE_PER_S",
        "listen.bus": "environment ARQONBUS_SERVER_PORT",
    }


@pytest.mark.requirement("R-CF-1")
def test_every_setting_has_a_variable() -> None:
    """Its default, written as text into the variable, is the default again; lists of groups as in the file."""
    given = loads(MINIMAL)
    for setting in settings().values():
        if setting.section or setting.path == ("node", "cluster"):
            continue
        value: object = msgspec.to_builtins(given)
        for part in setting.path:
            assert isinstance(value, dict)
            value = value[part]
        text = ",".join(value) if isinstance(value, list | tuple) else json.dumps(value).strip('"')
        assert loads(MINIMAL, environ={variable_of(setting.path): text}) == given, setting.name
    rooms = '[{room: science, channels: [a, b]}, {"room": "lobby"}]'
    config = loads(MINIMAL, environ={"ARQON_BUS__ROOMS": rooms})
    assert [(room.room, room.channels) for room in config.bus.rooms] == [
        ("science", ("a", "b")),
        ("lobby", ("general",)),
    ]
    assert found(MINIMAL.decode(), ARQON_BUS__ROOMS="[{")[0][1:] == ("bus.rooms", "environment ARQON_BUS__ROOMS")


@pytest.mark.requirement("R-CF-1")
def test_the_switches_of_arqonbus_are_understood() -> None:
    """STORAGE_BACKEND, HTTP_ENABLED, TELEMETRY_ENABLED; a back end that does not exist here is named."""
    config = loads(
        MINIMAL,
        environ={
            "ARQONBUS_STORAGE_BACKEND": "memory",
            "ARQONBUS_HTTP_ENABLED": "false",
            "ARQONBUS_TELEMETRY_ENABLED": "0",
        },
    )
    assert (config.bus.history.durable, config.listen.http, config.listen.telemetry) == (False, "", "")
    for backend in ("sqlite", "redis", "redis_streams"):
        assert loads(MINIMAL, environ={"ARQONBUS_STORAGE_BACKEND": backend}).bus.history.durable
    assert found(MINIMAL.decode(), ARQONBUS_STORAGE_BACKEND="tape") == [
        ("config.type", "bus.history.durable", "environment ARQONBUS_STORAGE_BACKEND")
    ]


def test_variables_that_nobody_reads_are_named_with_the_nearest_that_somebody_does() -> None:
    """And are no error: container platforms make names out of a service called arqon."""
    environ = {
        "ARQON_DATADIR": "/x",
        "ARQON_BUS_CLIENTS_MAX": "3",
        "ARQON_PORT_9100_TCP_ADDR": "10.0.0.1",
        "ARQON_DATA_DIR": "/x",
        "ARQON_REDIS_URL": "redis://x",
        "ARQON_LAB_NAME": "a",
        "PATH": "/bin",
    }
    assert [(each.variable, each.nearest) for each in strangers(environ)] == [
        ("ARQON_BUS_CLIENTS_MAX", "ARQON_BUS__CLIENTS_MAX"),
        ("ARQON_DATADIR", "ARQON_DATA_DIR"),
        ("ARQON_PORT_9100_TCP_ADDR", ""),
    ]


@pytest.mark.requirement("R-CF-2")
def test_only_settings_that_are_marked_are_taken_over_by_a_running_node() -> None:
    """A new setting without a mark is one that takes a restart."""
    before = loads(MINIMAL)
    after = loads(
        b"node: {cluster: hq, region: eu}\nbus: {rate_per_s: 9, frame_bytes_max: 1000, slow: {policy: spill}}\n"
        b"federation: {import: {allow: ['a:*']}, ttl: 3}\nlog: {level: debug}"
    )
    assert [(change.setting.name, change.setting.hot) for change in changes(before, after)] == [
        ("node.region", False),
        ("federation.import.allow", True),
        ("federation.ttl", False),
        ("bus.frame_bytes_max", False),
        ("bus.rate_per_s", True),
        ("bus.slow.policy", True),
        ("log.level", True),
    ]
    taken = hot_part(before, after)
    assert [change.setting.name for change in changes(before, taken)] == [
        "federation.import.allow", "bus.rate_per_s", "bus.slow.policy", "log.level",
    ]  # fmt: skip
    assert hot_part(taken, after) == taken
    assert changes(before, before) == []


def test_what_a_node_is_takes_a_restart() -> None:
    """No mark on the settings that are built into sockets, keys and timers at the start."""
    cold = {setting.path[0] for setting in settings().values() if not setting.section and not setting.hot}
    assert {"node", "listen", "links", "overlay", "membership", "gossip", "certificates"} <= cold
    hot = {setting.name for setting in settings().values() if setting.hot}
    assert not {name for name in hot if name.split(".")[0] in ("node", "listen", "links", "membership", "certificates")}


def test_a_section_of_which_one_value_is_given_keeps_its_other_defaults() -> None:
    """`federation.import.allow` is `*`, also beside a `deny`."""
    config = loads(b"node: {cluster: hq}\nfederation: {import: {deny: ['a:*']}}")
    assert (config.federation.import_.allow, config.federation.import_.deny) == (("*",), ("a:*",))
    assert loads(b"node: {cluster: hq}\nfederation: {import: {allow: []}}").federation.import_.allow == ()


def test_secrets_say_only_whether_there_is_one() -> None:
    """In every listing."""
    token = settings()[("bus", "auth_token")]
    assert (plain(token, "hunter2"), plain(token, "")) == (MASK, "")
    secrets = [setting.name for setting in settings().values() if setting.secret]
    assert secrets == ["bus.history.redis_url", "bus.auth_token", "bus.auth.jwt.secret"]


@pytest.mark.parametrize("region", ["a\nb", "\x1b[2J", "a\u202eb"])
def test_a_region_that_would_move_somebodys_cursor_is_refused(region: str) -> None:
    """It is told to every member and ends on their screens."""
    text = msgspec.json.encode({"node": {"cluster": "hq", "region": region}})
    (problem,) = examine(text).problems
    assert problem.sentence.endswith("it needs to be text without control characters")
    assert loads(b'node: {cluster: hq, region: "S\xc3\xa3o Paulo"}') == Config(
        node=NodeSettings(cluster="hq", region="São Paulo")
    )


@pytest.mark.parametrize("url", ["http://me:secret@x", "localhost:6379"])
def test_an_address_that_is_no_redis_is_found_before_the_start(url: str) -> None:
    """From the file or the environment; what may be a password is not shown."""
    ((code, key, place),) = found(MINIMAL.decode(), ARQON_REDIS_URL=url)
    assert (code, key, place) == ("config.relation", "bus.history.redis_url", "environment ARQON_REDIS_URL")
    (problem,) = examine(MINIMAL, environ={"ARQON_REDIS_URL": url}).problems
    assert "secret" not in problem.sentence + problem.hint
    assert not found(MINIMAL.decode(), ARQON_REDIS_URL="rediss://me:secret@x/0")
