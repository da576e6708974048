"""The node key on disk: a PKCS#8 PEM file that only its owner can read, made once and never overwritten.

Made under a temporary name with O_EXCL and mode 0600, synced, then linked to its name (a link, unlike a rename,
fails when the name is taken), and the directory synced: after a crash there is the whole key or none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from arqonmesh.errors import TrustError
from arqonmesh.trust.keys import NodeKey

MAX_FILE_BYTES: Final = 4_096


def create_node_key(path: Path) -> NodeKey:
    """A fresh node key, already safe on disk at `path` when this returns.

    Raises TrustError: `trust.key-file-exists`, `trust.key-file-unwritable`.
    """
    key = NodeKey.generate()
    save_node_key(path, key)
    return key


def save_node_key(path: Path, key: NodeKey) -> None:
    """Write `key` to `path`, which must not exist. Raises as `create_node_key`."""
    pem = key.to_cryptography().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(temporary, pem)
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise TrustError(
            "trust.key-file-exists",
            f"{path} exists; a key file is never overwritten, because the node's identity would be lost with it",
            hint=f"ls -l {path}",
        ) from None
    except OSError as error:
        raise TrustError(
            "trust.key-file-unwritable",
            f"cannot write the key file {path}: {error.strerror or error}",
            hint=f"{'df -h' if error.errno == errno.ENOSPC else 'ls -ld'} {path.parent}",
        ) from None


def load_node_key(path: Path) -> NodeKey:
    """The node key at `path`.

    Raises TrustError: `trust.key-file-missing`, `trust.key-file-unreadable`, `trust.key-file-owner` when it is not
    ours, `trust.key-file-open` when group or others have any right to it, `trust.key-file-malformed`.
    """
    pem = _read_private(path)
    try:
        key = load_pem_private_key(pem, password=None)
    except Exception:  # cryptography raises half a dozen types for bytes that are not a key
        raise _malformed(path, "it is not a PEM private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _malformed(path, "it holds another kind of key; it needs to be Ed25519")
    return NodeKey(key.private_bytes_raw())


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_private(path: Path) -> bytes:
    """The content of a file that is a plain file, ours and private; checked on the open file, not on its name."""
    try:
        # O_NONBLOCK: opening a pipe by mistake must not hang the node.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise TrustError(
            "trust.key-file-missing",
            f"no key file at {path}; it is the node's identity: put it back from a backup, or make a new node",
            hint=f"arqon init --cluster NAME --data-dir {_beside(path)}",
        ) from None
    except OSError as error:
        raise TrustError(
            "trust.key-file-unreadable",
            f"cannot read the key file {path}: {error.strerror or error}",
            hint=f"ls -l {path}",
        ) from None
    try:
        _check_private(path, os.fstat(descriptor))
        return os.read(descriptor, MAX_FILE_BYTES)
    except OSError as error:
        raise TrustError(
            "trust.key-file-unreadable",
            f"cannot read the key file {path}: {error.strerror or error}",
            hint=f"ls -l {path}",
        ) from None
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _malformed(path, "it is not a plain file")
    if status.st_uid != os.geteuid():
        raise TrustError(
            "trust.key-file-owner",
            f"the key file {path} belongs to user {status.st_uid}; it needs to belong to us, user {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise TrustError(
            "trust.key-file-open",
            f"the key file {path} has mode {mode:04o}, so others can reach it; it needs to be 0600",
            hint=f"chmod 600 {path}",
        )
    if status.st_size > MAX_FILE_BYTES:
        raise _malformed(path, f"it has {status.st_size} bytes, too many for a key")


def _malformed(path: Path, why: str) -> TrustError:
    return TrustError(
        "trust.key-file-malformed",
        f"{path} is not a node key: {why}",
        hint=f"restore {path} from a backup, or arqon init --cluster NAME --data-dir {_beside(path)}",
    )


def _beside(key: Path) -> str:
    """Where a new node can be made: `arqon init` makes none over what is left of another."""
    directory = key.absolute().parent
    left = directory.is_dir() and any(directory.iterdir())
    return shlex.quote(str(directory.with_name(directory.name + "-2") if left else directory))
