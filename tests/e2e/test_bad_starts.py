"""A node that must not start does not: the right exit code, an error with its remedy, and nothing changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from arqonmesh_testbed.loopback import CommandFailed, LoopbackMesh, LoopbackNode, merged
from tests.e2e.kit import foreground


@pytest.fixture
def node(mesh: LoopbackMesh, request: pytest.FixtureRequest) -> LoopbackNode:
    """A fresh node that has lived once, so that its database is there."""
    template = mesh.nodes.get("template")
    if template is None:
        template = mesh.make("template", "hub")
        template.start()
        template("mesh", "seed", "test")
        template.stop()
    copy = mesh.folder / f"copy{len(list(mesh.folder.iterdir()))}"
    shutil.copytree(template.data_dir, copy)
    return LoopbackNode("copy", "hub", copy, template.quic, template.bus, template.http, template.command)


def _prints(directory: Path) -> dict[str, str]:
    """Content of every file that matters, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.is_file() and not path.name.endswith((".lock", ".log"))
    }


@contextmanager
def _unchanged(node: LoopbackNode) -> Iterator[None]:
    before = _prints(node.data_dir)
    yield
    assert _prints(node.data_dir) == before


def _refuses(node: LoopbackNode, exit_code: int, code: str, *, under: Sequence[str] = ()) -> str:
    """The start fails so; its sentence."""
    done = foreground(node, under=under)
    assert done.code == exit_code, done.text
    assert done.answer["ok"] is False
    assert done.error["code"] == code, done.error
    assert done.error["hint"], done.error
    return str(done.error["message"])


def _damage(database: Path) -> None:
    data = bytearray(database.read_bytes())
    data[4_096 : len(data) : 512] = b"\xff" * len(data[4_096 : len(data) : 512])
    database.write_bytes(data)


def _replace_by_foreign(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as foreign:
        foreign.execute("CREATE TABLE photos (name TEXT)")
    foreign.close()


def _replace_by_text(database: Path) -> None:
    database.write_text("dear diary, " * 100)


def _raise_version(database: Path) -> None:
    with sqlite3.connect(database) as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_damage, "store.corrupt"),
        (_replace_by_foreign, "store.foreign"),
        (_replace_by_text, "store.foreign"),
        (_raise_version, "store.newer"),
    ],
)
def test_a_database_that_is_not_ours_or_not_whole_is_left_as_it_is(
    node: LoopbackNode, spoil: Callable[[Path], None], code: str
) -> None:
    """Never repaired, never overwritten: exit code 1, and every byte as before."""
    spoil(node.data_dir / "mesh.db")
    with _unchanged(node):
        _refuses(node, 1, code)


def test_a_key_that_others_can_read_is_refused(node: LoopbackNode) -> None:
    """Exit code 4, before anything is opened."""
    (node.data_dir / "node.key").chmod(0o640)
    with _unchanged(node):
        assert "node.key" in _refuses(node, 4, "trust.key-file-open")


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root reads everything; needs setpriv")
def test_a_data_directory_that_cannot_be_read_is_refused(node: LoopbackNode) -> None:
    """Rights are for the operator to change."""
    without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    before = _prints(node.data_dir)
    node.data_dir.chmod(0)
    try:
        assert "not readable" in _refuses(node, 2, "cli.usage", under=without)
    finally:
        node.data_dir.chmod(0o700)
    assert _prints(node.data_dir) == before


def test_bad_settings_are_refused_with_their_line(node: LoopbackNode) -> None:
    """YAML that is none, an unknown key, a value of the wrong kind: exit code 2 each."""
    path = node.data_dir / "arqon.yaml"
    good = path.read_text()
    for text, code in (
        ("node: [unclosed\n", "config.syntax"),
        (good + "\nlinkz: {auto: full}\n", "config.unknown-key"),
        (merged(good, "links: {misses: many}"), "config.type"),
    ):
        path.write_text(text)
        with _unchanged(node):
            _refuses(node, 2, code)


@pytest.mark.parametrize(
    ("kind", "which", "code"),
    [
        (socket.SOCK_DGRAM, "quic", "link.listen"),
        (socket.SOCK_STREAM, "bus", "bus.listen"),
        (socket.SOCK_STREAM, "http", "http.listen"),
    ],
)
def test_a_taken_port_is_named(node: LoopbackNode, kind: socket.SocketKind, which: str, code: str) -> None:
    """Exit code 2, with the address and the setting that changes it."""
    port: int = getattr(node, which)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        assert f"127.0.0.1:{port}" in _refuses(node, 2, code)


def test_two_nodes_on_one_data_directory(node: LoopbackNode) -> None:
    """The second is refused, attached and detached alike, and the first does not notice."""
    node.start()
    try:
        with pytest.raises(CommandFailed) as failed:
            node("node", "start", "--detach")
        assert (failed.value.code, failed.value.error["code"]) == (2, "api.already-running")
        _refuses(node, 1, "store.in-use")
        assert node("node", "status")["pid"] == node.pid
    finally:
        node.stop()
