"""API keys: made, shown once, hashed at rest, found by prefix, used, expired, revoked; one process beside another."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.bridge.auth.api_keys import USED_EVERY_MS, ApiKeys
from arqonmesh.bridge.auth.key_file import ApiKey, KeyFile, write_uses
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.core.bus.identity import Identity
from arqonmesh.errors import NotFound, StorageError, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyRecord

pytestmark = pytest.mark.requirement("R-BU-14")


class Place:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = ""
        self.now_ms = 1_767_225_600_000
        self.node = ApiKeys(path, lambda: self.now_ms)
        self.cli = ApiKeys(path, lambda: self.now_ms)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "bus-keys.db")
    yield made
    made.node.close()
    made.cli.close()


def refused(keys: ApiKeys, shown: str) -> str:
    with pytest.raises(AuthRefused) as error:
        keys.judge(shown)
    assert len(shown) < 20 or shown not in error.value.sentence
    return error.value.code


def test_a_key_made_beside_a_running_node_is_known_there_at_once(place: Place) -> None:
    """With its name, role, tenant, permissions and end."""
    assert not place.node
    shown, key = place.cli.new(
        "press-7", "guest", tenant="acme", permissions=["publish:plant:*"], lifetime_ms=90_000
    )  # fmt: skip
    identity = place.node.judge(shown)
    assert identity == Identity(
        "press-7", "guest", "acme", ("publish:plant:*",), place.now_ms + 90_000, f"key:{key.prefix}"
    )
    assert place.node
    assert shown.startswith(f"arqk_{key.prefix}_")


def test_what_is_on_disk_lets_nobody_in(place: Place) -> None:
    """The key is nowhere in the file, nor in any of its parts; the file is its owner's alone."""
    shown, _ = place.cli.new("a", "user")
    secret = shown.split("_", 2)[2]
    for file in place.path.parent.iterdir():
        assert secret.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0, file


def test_a_key_ends_when_it_expires_or_is_revoked(place: Place) -> None:
    """Each with its own code; the node tells once whose clients are to be closed."""
    first, key = place.cli.new("a", "user")
    short, _ = place.cli.new("b", "user", lifetime_ms=1_000)
    assert place.node.judge(first).subject == "a"
    assert place.node.judge(short).subject == "b"
    assert place.node.take_revoked() == []
    place.cli.revoke(key.prefix)
    assert refused(place.node, first) == "bus.auth-revoked"
    assert place.node.take_revoked() == [key.prefix]
    assert place.node.take_revoked() == []
    place.now_ms += 1_000
    assert refused(place.node, short) == "bus.auth-expired"
    assert [one.state(place.now_ms) for one in place.node.all()].count("active") == 0
    assert place.node, "a bus whose keys are all revoked is not an open bus"


def test_the_last_use_is_kept_by_the_minute(place: Place) -> None:
    """Once per key and minute at most, handed over for a write that the other process sees."""
    shown, key = place.cli.new("a", "user")
    used = []
    for _ in range(3):
        place.node.judge(shown)
        assert write_uses(place.path, place.node.take_uses())
        used.append(place.cli.all()[0].last_used_ms)
        place.now_ms += USED_EVERY_MS // 2
    assert used == [place.now_ms - 3 * USED_EVERY_MS // 2] * 2 + [place.now_ms - USED_EVERY_MS // 2]
    write_uses(place.path, {key.prefix: 1})
    assert place.cli.all()[0].last_used_ms == used[-1], "an older date, written late, is none"


def test_thousands_of_devices_that_come_back_wait_for_no_disk(place: Place) -> None:
    """Whoever shows a key is judged by memory: no row is read or written for a last use, however many there are. Nor
    are they read again because last uses were written, by this node's thread or by anybody."""
    shown = [place.cli.new(f"device-{number}", "guest")[0] for number in range(20)]
    assert len(place.node.all()) == 20
    statements: list[str] = []
    place.node._file._db.set_trace_callback(statements.append)
    for one in shown:
        assert place.node.judge(one).role == "guest"
    uses = place.node.take_uses()
    assert len(uses) == 20
    assert place.node.take_uses() == {}
    assert write_uses(place.path, uses)
    assert place.node.judge(shown[0]).subject == "device-0"
    assert [told for told in statements if "api_keys" in told] == []
    place.cli.revoke("device-0")
    assert refused(place.node, shown[0]) == "bus.auth-revoked"
    assert len([told for told in statements if "api_keys" in told]) == 1
    assert all(key.last_used_ms == place.now_ms for key in place.node.all())


def test_a_use_that_is_not_written_yet_outlives_what_is_read_meanwhile(place: Place) -> None:
    """Else every change by the operator would make all devices count as new again."""
    shown, _ = place.cli.new("a", "user")
    place.node.judge(shown)
    place.cli.new("b", "user")
    assert [key.last_used_ms for key in place.node.all() if key.name == "a"] == [place.now_ms]
    place.node.take_uses()
    place.node.judge(shown)
    assert place.node.take_uses() == {}


def test_a_disk_that_takes_no_writes_turns_nobody_away(place: Place) -> None:
    """Judging needs no write; the date of the last use does, and is lost."""
    shown, _ = place.cli.new("a", "user")
    assert place.node.judge(shown).subject == "a"
    with closing(sqlite3.connect(place.path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("arqonmesh.bridge.auth.key_file.BUSY_TIMEOUT_S", 0)
            assert not write_uses(place.path, place.node.take_uses())


def test_keys_are_revoked_by_prefix_name_or_themselves(place: Place) -> None:
    """A name that several have is not enough; what is unknown is said so; twice is harmless."""
    first, _ = place.cli.new("one", "user")
    _, twin = place.cli.new("twin", "user")
    place.cli.new("twin", "user")
    with pytest.raises(UsageError) as several:
        place.cli.revoke("twin")
    assert (several.value.code, twin.prefix in several.value.sentence) == ("bus.key-ambiguous", True)
    assert place.cli.revoke(twin.prefix).revoked_ms == place.cli.revoke(twin.prefix).revoked_ms == place.now_ms
    assert place.cli.revoke("twin").revoked_ms
    assert place.cli.revoke(first).name == "one"
    with pytest.raises(NotFound):
        place.cli.revoke("nobody")


@pytest.mark.parametrize(
    ("name", "tenant", "permissions"),
    [("", "", []), ("x" * 65, "", []), ("a\nb", "", []), ("a", "A|b", []), ("a", "", ["fly:*"])],
)
def test_a_key_that_means_nothing_is_not_made(place: Place, name: str, tenant: str, permissions: list[str]) -> None:
    """UsageError bus.key-invalid, and nothing in the file."""
    with pytest.raises(UsageError) as error:
        place.cli.new(name, "user", tenant=tenant, permissions=permissions)
    assert error.value.code == "bus.key-invalid"
    assert place.node.all() == []


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    """StorageError bus.key-file, at the start."""
    (tmp_path / "bus-keys.db").write_bytes(b"x" * 4_096)
    with pytest.raises(StorageError) as error:
        ApiKeys(tmp_path / "bus-keys.db", lambda: 0)
    assert error.value.code == "bus.key-file"
    with pytest.raises(StorageError):
        ApiKeys(tmp_path / "absent" / "bus-keys.db", lambda: 0)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_but_the_key_itself_is_the_key(place: Place, data: st.DataObject) -> None:
    """Any text, any part of it, and one character changed."""
    if not place.made:
        place.made, _ = place.cli.new("a", "user")
    shown = place.made
    text = data.draw(st.one_of(st.text(max_size=60), st.sampled_from([shown[:-1], shown + "x", shown[5:], "arqk_"])))
    assert refused(place.node, text) == "bus.auth"
    at = data.draw(st.integers(0, len(shown) - 1))
    assert refused(place.node, shown[:at] + chr(ord(shown[at]) ^ 1) + shown[at + 1 :]) == "bus.auth"


def test_the_schema_refuses_what_is_not_of_its_types(place: Place) -> None:
    """STRICT: a foreign hand cannot leave text where a time belongs."""
    place.cli.new("a", "user")
    with pytest.raises(sqlite3.IntegrityError):
        place.cli._file._db.execute("UPDATE api_keys SET expires_ms = 'never'")


def test_keys_of_other_nodes_are_taken_told_and_revoked_as_our_own(tmp_path: Path) -> None:
    """`take_changed` tells what `learn` takes; a revocation is in it once, and nothing takes it back."""
    here, there = NodeId("a" * 32), NodeId("b" * 32)
    one, other = (ApiKeys(tmp_path / name, lambda: 1_000) for name in ("one.db", "other.db"))
    shown, key = one.new("dash", "guest", tenant="acme", permissions=["join:plant:*"], lifetime_ms=9_000)
    told = one.take_changed(here)
    assert [(record.prefix, record.made_at) for record in told] == [(key.prefix, here)]
    assert one.take_changed(here) == []
    other.learn(told)
    other.save()
    assert other.judge(shown) == one.judge(shown)
    assert other.take_changed(there) == told
    assert (other.all()[0].made_at, one.all()[0].made_at) == (here, "")
    other.revoke("dash")
    (revoked,) = other.take_changed(there)
    one.learn([revoked])
    assert one.take_revoked() == [key.prefix]
    one.learn(told)
    assert refused(one, shown) == "bus.auth-revoked"
    assert one.all()[0].revoked_ms == revoked.revoked_ms == 1_000
    for keys in (one, other):
        keys.close()


def test_a_revocation_that_is_learned_holds_while_the_disk_takes_no_writes(place: Place) -> None:
    """At once, whatever else is read or made meanwhile; and it is in the file as soon as that takes it."""
    here, there = NodeId("a" * 32), NodeId("b" * 32)
    shown, key = place.cli.new("dash", "user")
    assert place.node.judge(shown).subject == "dash"
    revoked = ApiKey(key.prefix, key.hash, "dash", "user", "", (), key.created_ms, 0, 7, 0).record(here)
    stranger = ApiKey("k3v7x2mq", b"x" * 32, "new", "user", "", (), 1, 0, 0, 0).record(there)
    place.node._file._db.execute("PRAGMA query_only = 1")
    place.node.learn([revoked, stranger])
    with pytest.raises(StorageError) as full:
        place.node.save()
    assert full.value.code == "bus.key-file"
    assert refused(place.node, shown) == "bus.auth-revoked"
    assert place.node.take_revoked() == [key.prefix]
    place.cli.new("other", "user")
    assert (len(place.node.all()), refused(place.node, shown)) == (3, "bus.auth-revoked")
    assert (place.node.take_revoked(), place.cli.judge(shown).subject) == ([], "dash")
    place.node._file._db.execute("PRAGMA query_only = 0")
    place.node.save()
    assert refused(place.cli, shown) == "bus.auth-revoked"
    assert {one.name: one.revoked_ms for one in place.cli.all()} == {"new": 0, "dash": 7, "other": 0}


@pytest.mark.parametrize("full", [False, True])
def test_who_leaves_the_mesh_keeps_no_key_that_others_made(place: Place, full: bool) -> None:
    """They let nobody in any more, their clients are closed, the file forgets them as soon as it can; what was made
    here stays, also if somebody else ended it."""
    here, there = NodeId("a" * 32), NodeId("b" * 32)
    own, made = place.cli.new("own", "user")
    ended, _ = place.cli.new("ended", "user")
    theirs = ApiKey("k3v7x2mq", b"x" * 32, "theirs", "user", "", (), 1, 0, 0, 0).record(there)
    revoked = [key.record(here) for key in place.cli.all() if key.name == "ended"]
    place.node.learn([theirs, *(ApiKey(*_row(record, 9)).record(here) for record in revoked)])
    place.node.save()
    place.node.take_revoked()
    if full:
        place.node._file._db.execute("PRAGMA query_only = 1")
    assert (place.node.forget_others(here), place.node.forget_others(here)) == (1, 0)
    assert place.node.take_revoked() == ["k3v7x2mq"]
    if full:
        with pytest.raises(StorageError):
            place.node.save()
        place.cli.new("later", "user")
        place.node._file._db.execute("PRAGMA query_only = 0")
    assert {key.name for key in place.node.all()} == {"own", "ended"} | ({"later"} if full else set())
    assert (place.node.judge(own).via, refused(place.node, ended)) == (f"key:{made.prefix}", "bus.auth-revoked")
    place.node.save()
    assert {key.name for key in place.cli.all()} == {"own", "ended"} | ({"later"} if full else set())
    place.node.learn([theirs])
    place.node.save()
    assert "theirs" in {key.name for key in place.cli.all()}


def test_a_bus_whose_keys_were_all_made_elsewhere_does_not_open_because_its_node_leaves(place: Place) -> None:
    """Neither at once nor after the next start: nobody decided that."""
    assert not place.node
    place.node.learn([ApiKey("k3v7x2mq", b"x" * 32, "theirs", "user", "", (), 1, 0, 0, 0).record(NodeId("b" * 32))])
    place.node.save()
    assert place.node.forget_others(NodeId("a" * 32)) == 1
    assert (bool(place.node), place.node.all()) == (True, [])
    place.node.save()
    with closing(KeyFile(place.path)) as file:
        assert file.read() == ({}, True)
    assert place.cli


def _row(record: KeyRecord, revoked_ms: int) -> tuple[Any, ...]:
    who = (record.prefix, record.hash, record.name, record.role, record.tenant, record.permissions)
    return (*who, record.created_ms, record.expires_ms, revoked_ms, 0)


def test_a_file_from_before_keys_were_of_the_cluster_is_read_and_goes_on(tmp_path: Path) -> None:
    """Version 0 had no `made_at`: its keys were made here. A later version than ours is refused by name."""
    path = tmp_path / "bus-keys.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute(
            "CREATE TABLE api_keys (prefix TEXT PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, "
            "role TEXT NOT NULL, tenant TEXT NOT NULL, permissions TEXT NOT NULL, created_ms INTEGER NOT NULL, "
            "expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL"
            ") STRICT, WITHOUT ROWID"
        )
        shown = "arqk_k3v7x2mq_" + "x" * 43
        row = ("k3v7x2mq", hashlib.sha256(shown.encode()).digest(), "old", "user", "", "[]", 1, 0, 0, 0)
        old.execute("INSERT INTO api_keys VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        old.commit()
    keys = ApiKeys(path, lambda: 1_000)
    assert keys.judge(shown).subject == "old"
    assert [record.made_at for record in keys.take_changed(NodeId("a" * 32))] == ["a" * 32]
    keys.new("newer", "user")
    keys.close()
    with closing(sqlite3.connect(path)) as later:
        assert later.execute("PRAGMA user_version").fetchone() == (2,)
        assert later.execute("SELECT value FROM key_state WHERE name = 'revision'").fetchone() == (1,)
        later.execute("PRAGMA user_version = 3")
    with pytest.raises(StorageError, match="version 3") as error:
        ApiKeys(path, lambda: 1_000)
    assert error.value.code == "bus.key-file"
