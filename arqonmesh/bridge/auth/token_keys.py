"""The keys that tokens are checked with. Each key goes with exactly one algorithm, so a token cannot choose another.

That is the whole defence against algorithm confusion (RFC 8725, 3.1): a public key is never taken for an HMAC secret,
and `none` goes with no key. Files are looked at before each use and read again when they changed; one that cannot be
used any more is reported once, and the keys that were read before stay in force.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from arqonmesh.config.model import JwtSettings
from arqonmesh.errors import ConfigError

SECRET_BYTES_MIN: Final = 32
"""RFC 7518, 3.2: at least as long as the hash."""
RSA_BITS_MIN: Final = 2_048
KEYS_MAX: Final = 64
FILE_BYTES_MAX: Final = 1 << 20
READ_BY_OTHERS: Final = 0o037
"""Of a shared secret: its group may read it, as with what a service manager hands over, and nobody else anything."""

_log = logging.getLogger("arqonmesh.bridge.auth")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key and its algorithm: HS256, RS256 or EdDSA."""

    algorithm: str
    key: Any
    kid: str = ""


class TokenKeys:
    """All keys of a node. Raises ConfigError `bus.auth-keys` when they cannot be read at the start."""

    def __init__(self, settings: JwtSettings, base: Path) -> None:
        self.reread = 0
        """How often a changed file was read again."""
        self._file: Path | None = None
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[TokenKey, ...] = ()
        self._parse = _read_jwks
        if settings.secret:
            self._keys = (_secret(settings.secret.encode(), "bus.auth.jwt.secret"),)
        elif settings.secret_file:
            self._watch(base / settings.secret_file, _read_secret)
        elif settings.public_key_file:
            self._watch(base / settings.public_key_file, _read_pem)
        elif settings.jwks_file:
            self._watch(base / settings.jwks_file, _read_jwks)

    def __bool__(self) -> bool:
        return bool(self._keys) or self._file is not None

    def find(self, kid: str) -> TokenKey | None:
        """The key with this id; the only key there is when the token names none."""
        self.refresh()
        if len(self._keys) == 1 and (not kid or not self._keys[0].kid):
            return self._keys[0]
        return next((key for key in self._keys if key.kid == kid), None) if kid else None

    def signing_secret(self) -> bytes | None:
        """The shared secret, for who wants to sign; None where tokens are signed elsewhere."""
        return next((key.key for key in self._keys if key.algorithm == "HS256"), None)

    def refresh(self) -> None:
        """Read the file again when it changed."""
        if self._file is None:
            return
        try:
            seen = _look(self._file)
            if seen == self._seen:
                return
            self._seen = seen
            self._keys = self._parse(self._file)
            self.reread += 1
        except OSError as error:
            if self._seen is not None:
                self._seen = None
                _log.warning("%s cannot be read (%s); the keys read before stay in force", self._file, error.strerror)
        except ConfigError as error:
            _log.warning("%s; the keys read before stay in force", error)

    def _watch(self, path: Path, parse: Any) -> None:
        self._file, self._parse = path, parse
        try:
            self._seen = _look(path)
            self._keys = parse(path)
        except OSError as error:
            raise ConfigError(
                "bus.auth-keys",
                f"{path} cannot be read: {error.strerror or error}; it needs to hold the keys of bus.auth.jwt",
                hint="arqon config show",
            ) from error


def _look(path: Path) -> tuple[int, int, int]:
    seen = path.stat()
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise _unusable(path, f"has more than {FILE_BYTES_MAX} bytes")
    return data


def _secret(secret: bytes, where: str) -> TokenKey:
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigError(
            "bus.auth-keys",
            f"the secret in {where} has {len(secret)} bytes; it needs to have at least {SECRET_BYTES_MIN}",
            hint="openssl rand -hex 32",
        )
    return TokenKey("HS256", secret)


def _read_secret(path: Path) -> tuple[TokenKey, ...]:
    mode = path.stat().st_mode & 0o777
    if mode & READ_BY_OTHERS:
        raise ConfigError(
            "bus.auth-keys",
            f"{path} has mode {mode:04o}, so others can reach the secret that makes tokens; it needs to be 0600, or "
            "0640 for a group that may",
            hint=f"chmod 0600 {shlex.quote(str(path))}",
        )
    return (_secret(_content(path).strip(), str(path)),)


def _read_pem(path: Path) -> tuple[TokenKey, ...]:
    try:
        key = load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "is not a public key in PEM") from error
    return (_public(path, key, ""),)


def _read_jwks(path: Path) -> tuple[TokenKey, ...]:
    """RFC 7517, 5: keys for other purposes or algorithms are passed over, and so are, with a word in the log, those
    that cannot be used; the others of the set are not to wait for them. A private or shared key is refused."""
    from jwt import InvalidKeyError  # here: a node without such a file is spared 2 MB
    from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

    try:
        entries = msgspec.json.decode(_content(path), type=dict[str, Any])["keys"]
    except (msgspec.DecodeError, KeyError) as error:
        raise _unusable(path, 'is not a JSON Web Key Set: {"keys": [...]}') from error
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise _unusable(path, f"needs to hold a list of at most {KEYS_MAX} keys")
    keys = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise _unusable(path, "holds a key that is no object")
        if "d" in entry or "k" in entry:
            raise _unusable(path, "holds a private or shared key, which is never to be in a set that others read")
        meant = {"RSA": "RS256", "OKP": "EdDSA"}.get(str(entry.get("kty")))
        if meant is None or entry.get("alg", meant) != meant or entry.get("use", "sig") != "sig":
            continue
        kid = str(entry.get("kid", ""))
        try:
            made: Any = RSAAlgorithm.from_jwk(entry) if meant == "RS256" else OKPAlgorithm.from_jwk(entry)
            keys.append(_public(path, made, kid))
        except (InvalidKeyError, ValueError, TypeError) as error:
            _log.warning("%s: the key with `kid` %r cannot be used and is passed over: %s", path, kid[:64], error)
        except ConfigError as error:
            _log.warning("%s; the key with `kid` %r is passed over", error, kid[:64])
    if not keys:
        raise _unusable(path, "holds no key for RS256 or EdDSA")
    return tuple(keys)


def _public(path: Path, key: Any, kid: str) -> TokenKey:
    if isinstance(key, Ed25519PublicKey):
        return TokenKey("EdDSA", key, kid)
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise _unusable(path, f"holds an RSA key of {key.key_size} bits; at least {RSA_BITS_MIN} are needed")
        return TokenKey("RS256", key, kid)
    raise _unusable(path, "holds a key that is neither RSA nor Ed25519")


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError("bus.auth-keys", f"{path} {why}", hint="arqon explain bus.auth-keys")
