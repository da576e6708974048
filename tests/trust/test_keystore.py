"""The node key on disk: private, whole, never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from arqonmesh.errors import TrustError
from arqonmesh.trust.keys import NodeKey
from arqonmesh.trust.keystore import create_node_key, load_node_key, save_node_key


def refusal(path: Path) -> TrustError:
    with pytest.raises(TrustError) as caught:
        load_node_key(path)
    return caught.value


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_key_made_is_the_key_read(tmp_path: Path) -> None:
    """The same node, and nothing but the key file is left in the directory."""
    key = create_node_key(tmp_path / "node.key")

    assert load_node_key(tmp_path / "node.key").seed == key.seed
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.key"]


def test_a_key_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        create_node_key(tmp_path / "node.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o777])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """The sentence has the mode, the hint is the command that mends it, and the command does mend it."""
    path = tmp_path / "node.key"
    create_node_key(path)
    path.chmod(mode)

    error = refusal(path)

    assert error.code == "trust.key-file-open"
    assert f"{mode:04o}" in error.sentence
    assert error.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert load_node_key(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Neither a key nor anything else that stands there; the file there stays as it was."""
    path = tmp_path / "node.key"
    first = create_node_key(path)
    for attempt in (lambda: create_node_key(path), lambda: save_node_key(path, NodeKey.generate())):
        with pytest.raises(TrustError) as caught:
            attempt()
        assert caught.value.code == "trust.key-file-exists"
    assert load_node_key(path).seed == first.seed
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.key"]


def test_a_dangling_link_is_not_followed_when_a_key_is_made(tmp_path: Path) -> None:
    """Else whoever can write the directory would choose where the key goes."""
    path = tmp_path / "node.key"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrustError) as caught:
        create_node_key(path)
    assert caught.value.code == "trust.key-file-exists"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Also to root."""
    path = tmp_path / "node.key"
    create_node_key(path)
    os.chown(path, 12_345, -1)

    assert refusal(path).code == "trust.key-file-owner"
    assert "12345" in refusal(path).sentence


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x00" * 4_096, b"x" * 5_000, b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_file_that_is_not_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, rubbish, zeroes (a crash), too large, cut short."""
    assert refusal(write(tmp_path / "node.key", content)).code == "trust.key-file-malformed"


def test_a_key_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    """Never half a key. The last bytes are only the line's end."""
    path = tmp_path / "node.key"
    create_node_key(path)
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        assert refusal(write(path, whole[:length])).code == "trust.key-file-malformed", length


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    """RSA in a well-formed file."""
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    assert refusal(write(tmp_path / "node.key", pem)).code == "trust.key-file-malformed"
    assert "Ed25519" in refusal(tmp_path / "node.key").sentence


def test_what_is_no_file_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    """A directory; a pipe, which nobody ever writes to."""
    directory, pipe = tmp_path / "directory", tmp_path / "pipe"
    directory.mkdir(mode=0o700)
    os.mkfifo(pipe, 0o600)

    assert refusal(directory).code == "trust.key-file-malformed"
    assert refusal(pipe).code == "trust.key-file-malformed"


def test_a_missing_key_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """`arqon init`, there, or beside what is left of a node, over which it makes none; and a directory that is not
    there is said when writing."""
    error = refusal(tmp_path / "my store" / "node.key")
    hint = f"arqon init --cluster NAME --data-dir '{tmp_path}/my store"
    assert (error.code, error.hint) == ("trust.key-file-missing", hint + "'")
    (tmp_path / "my store").mkdir()
    (tmp_path / "my store" / "arqon.yaml").touch()
    assert refusal(tmp_path / "my store" / "node.key").hint == hint + "-2'"

    with pytest.raises(TrustError) as caught:
        create_node_key(tmp_path / "nowhere" / "node.key")
    assert caught.value.code == "trust.key-file-unwritable"
