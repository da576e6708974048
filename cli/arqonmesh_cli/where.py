"""Which node a command means, and where its files are."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arqonmesh.config.datadir import DataDir

TOKEN_LIFETIME_S: Final = 86_400
_COMMAND: Final = re.compile(r"arqon (?!explain|init|sim|.*--data-dir|.*--context)[^,;#()]+")
"""A command for a node, whole and without a word about which."""


@dataclass(frozen=True, slots=True)
class Place:
    """One node's files, and the name under which it was asked for."""

    files: DataDir
    context: str | None = None

    @property
    def data_dir(self) -> Path:
        return self.files.root

    @property
    def socket(self) -> Path:
        return self.files.control_socket

    @property
    def start_hint(self) -> str:
        """The command that starts this node, after the one that makes it where there is none."""
        verb = "node start" if self.files.initialised else "init --cluster NAME"
        return f"arqon {verb} {self.option}"

    @property
    def option(self) -> str:
        """What names this node on a command line."""
        return f"--data-dir {shlex.quote(str(self.data_dir))}"

    @property
    def suffix(self) -> str:
        """What a suggested command needs behind it to mean this node; nothing where it is the one meant anyway."""
        if self.context is not None:
            return f" --context {shlex.quote(self.context)}"
        return "" if self.data_dir == DataDir.choose(None, os.environ).root else f" {self.option}"

    def hinted(self, hint: str) -> str:
        """A hint of this node, which does not know by what name it was asked, as commands that mean it."""
        commands = hint.split(", or ")
        if not all(_COMMAND.fullmatch(command) for command in commands):
            return hint
        return ", or ".join(command + self.suffix for command in commands)

    def bus_token(self, tenant: str = "") -> str | None:
        """What this node's bus asks for: its one token, a token for a day signed with its secret, or the operator's
        own; None where there is no node, or one that never ran. The one token is of no tenant, the others of this."""
        if not self.files.initialised:
            return None
        from arqonmesh.config.load import load

        settings = load(self.files.config, os.environ).bus
        told = settings.auth.jwt
        if settings.auth_token or not (told.secret or told.secret_file):
            from arqonmesh.bridge.auth import operator

            return (settings.auth_token if not tenant else "") or operator.read(self.data_dir)
        from arqonmesh.bridge.auth.mint import mint
        from arqonmesh.bridge.auth.token_keys import TokenKeys

        keys, now_ms = TokenKeys(told, self.data_dir), time.time_ns() // 1_000_000
        return mint(told, keys, now_ms, subject="arqon", role="admin", tenant=tenant, lifetime_s=TOKEN_LIFETIME_S)[0]


def place_of(data_dir: Path | None, context: str | None) -> Place:
    """The place that the shared options name. Raises NotFound for an unknown context, ConfigError for a file."""
    if context is not None:
        from arqonmesh_cli.contexts import find

        return Place(DataDir(find(context)), context)
    files = DataDir.choose(data_dir, os.environ)
    files.refuse_file()
    return Place(files)
