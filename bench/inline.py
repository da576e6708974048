"""The `arqon` command run in this process, through the same entry point, without an interpreter's start for each."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from arqonmesh_cli.app import run
from arqonmesh_testbed.loopback import data_of


@dataclass(frozen=True, slots=True)
class Done:
    """What one command line did: exit code, its JSON answer, and all that it wrote to standard output."""

    code: int
    answer: dict[str, Any]
    text: str

    @property
    def data(self) -> Any:
        return self.answer["data"]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.answer["error"]
        return error


def line(*args: str) -> Done:
    """Run `arqon ARGS --json`. From the main thread, because standard output is caught for the time."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out):
        code = run((*args, "--json"))
    assert isinstance(out.buffer, io.BytesIO)
    text = out.buffer.getvalue().decode()
    return Done(code, json.loads(text) if text.count("\n") == 1 else {}, text)


def arqon(*args: str, timeout_s: float = 40) -> Any:
    """As `loopback.arqon`; the commands bound their own time."""
    done = line(*args)
    return data_of(args, done.code, done.answer, done.text)
