"""Where a node's files are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from arqonmesh.config.datadir import DataDir
from arqonmesh.errors import ConfigError


def test_the_directory_given_wins_over_the_environment_over_the_home(tmp_path: Path) -> None:
    """--data-dir, ARQON_DATA_DIR, XDG_DATA_HOME, ~/.local/share/arqon."""
    environ = {"ARQON_DATA_DIR": "/b", "XDG_DATA_HOME": "/c"}
    assert DataDir.choose(tmp_path, environ).root == tmp_path
    assert DataDir.choose(None, environ).root == Path("/b")
    assert DataDir.choose(None, {"XDG_DATA_HOME": "/c"}).root == Path("/c/arqon")
    assert DataDir.choose(None, {}).root == Path.home() / ".local" / "share" / "arqon"


def test_a_new_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0700; one that exists is kept."""
    layout = DataDir(tmp_path / "deep" / "node")
    layout.create()
    layout.create()
    assert layout.root.stat().st_mode & 0o777 == 0o700
    assert not layout.initialised


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Its key could be swapped."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 0777") as caught:
        DataDir(shared).create()
    assert caught.value.hint == f"chmod 0700 {shared}"


def test_a_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    """With what stands there and what is needed; nothing of rights, which are not the matter. So is one above it."""
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "node"):
        with pytest.raises(ConfigError, match="file is a file; a directory is needed") as caught:
            DataDir(root).create()
        assert (caught.value.code, caught.value.hint) == ("config.data-dir", f"ls -l {tmp_path / 'file'}")


def test_the_control_socket_stands_in_the_directory_where_its_path_is_short(tmp_path: Path) -> None:
    """No pointer file is needed then."""
    layout = DataDir(Path("/tmp/n"))
    assert layout.control_socket == Path("/tmp/n/control.sock")


def test_a_deep_directory_has_its_socket_elsewhere_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with another environment finds it through control.path; the path can be bound."""
    runtime = tmp_path / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    layout = DataDir(tmp_path / ("deep" * 30))
    layout.create()

    path = layout.claim_control_socket()
    assert len(os.fsencode(path)) <= 107
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert layout.control_socket == path


def test_two_deep_directories_do_not_share_a_socket(tmp_path: Path) -> None:
    """The short name is a hash of the directory's path."""
    sockets = {DataDir(tmp_path / ("deep" * 30) / name).control_socket for name in "ab"}
    assert len(sockets) == 2
