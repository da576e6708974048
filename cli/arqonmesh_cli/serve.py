"""A node in the foreground, without the command tree: what `arqon node start` becomes.

A node runs for months in the process that was started by one command line, so it carries nothing of the machinery that
read it: the plain form of the command is recognised here, before typer is imported (some 20 MB with what it brings).
Every other form goes through the tree and ends here, too.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arqonmesh.errors import ConfigError
from arqonmesh_cli.detach import reporting
from arqonmesh_cli.lean import import_lean
from arqonmesh_cli.processes import tell
from arqonmesh_cli.where import place_of


@dataclass(frozen=True, slots=True)
class Start:
    """`ready_fd`: a pipe that is told how the start went; -1: none."""

    data_dir: Path
    ready_fd: int = -1
    as_json: bool = False

    def serve(self) -> int:
        """Run the node until it is stopped; its exit code. Raises what its start raises."""
        with reporting(self.ready_fd):
            import_lean()
            try:
                from arqonmesh.runtime.main import run

                return run(self.data_dir, self._ready)
            finally:
                gc.enable()  # also for a start that ends before runtime/main.py does so

    def _ready(self) -> None:
        if self.ready_fd >= 0:
            tell(self.ready_fd, b"ready\n")
        elif self.as_json:
            told = {"v": 1, "ok": True, "data": {"pid": os.getpid(), "data_dir": str(self.data_dir)}}
            sys.stdout.write(json.dumps(told, separators=(",", ":")) + "\n")
            sys.stdout.flush()


def plain_start(arguments: Sequence[str]) -> Start | None:
    """The start that this command line asks for, when it says no more than where; None for anything else."""
    if list(arguments[:2]) != ["node", "start"] or os.environ.get("ARQON_CONTEXT"):
        return None
    data_dir: Path | None = None
    ready_fd, as_json = -1, False
    words = iter(arguments[2:])
    for word in words:
        if word == "--json":
            as_json = True
        elif word == "--data-dir":
            folder = next(words, "")
            if not folder or folder.startswith("-"):
                return None
            data_dir = Path(folder)
            if data_dir.exists() and not os.access(data_dir, os.R_OK):
                return None  # which the tree refuses with its own words
        elif word == "--ready-fd":
            number = next(words, "")
            if not number.isdecimal():
                return None
            ready_fd = int(number)
        else:
            return None
    try:
        return Start(place_of(data_dir, None).data_dir, ready_fd, as_json)
    except ConfigError:
        return None  # as above
