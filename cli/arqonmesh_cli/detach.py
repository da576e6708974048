"""Starting a node in the background: a fresh process in its own session, which tells through a pipe how it went.

The pipe carries `ready`, or the error that ended the start as JSON, or closes without a word when the process dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator

from arqonmesh import errors
from arqonmesh.errors import ArqonError, NotFound, TimedOut, UsageError
from arqonmesh_cli.durations import show_duration
from arqonmesh_cli.logs import last_lines
from arqonmesh_cli.processes import gone, listener_pid, tell
from arqonmesh_cli.where import Place


def start_detached(place: Place, patience_s: float) -> int:
    """Start the node behind `place` and wait until it is ready; returns its pid. Raises what its start raised."""
    if not place.files.initialised:
        if place.files.node_key.exists():
            said = f"the node in {place.data_dir} has no arqon.yaml; init writes one, and the node keeps its identity"
        else:
            said = f"no node has been made in {place.data_dir}; it needs to be made first"
        raise NotFound("cli.no-node", said, hint=place.start_hint)
    running = listener_pid(place.socket)
    if running is not None:
        raise UsageError(
            "api.already-running",
            f"process {running} already serves {place.data_dir}; it needs to be stopped first",
            hint=f"arqon node stop {place.option}",
        )
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "arqonmesh_cli", "node", "start", "--data-dir", str(place.data_dir)]
    try:
        log = os.open(place.files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(  # noqa: S603  # our own program, arguments of ours
                [*command, "--ready-fd", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
            os.close(writer)
        _await_ready(reader, process, place, patience_s)
    finally:
        os.close(reader)
    # It outlives this command on purpose: nobody waits for it here, and its end is init's to reap.
    process.returncode = 0
    return process.pid


@contextlib.contextmanager
def reporting(descriptor: int) -> Iterator[None]:
    """In the started process: tell an error that ends it through the pipe, then let it take its course."""
    try:
        yield
    except ArqonError as error:
        _tell_error(descriptor, error)
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}; nobody foresaw this, its log has the trace"
        _tell_error(descriptor, ArqonError("cli.unforeseen", text, hint="arqon node logs"))
        with contextlib.suppress(OSError):  # the whole trace is for its log, which a full disk does not take
            traceback.print_exc()
        raise


def _tell_error(descriptor: int, error: ArqonError) -> None:
    if descriptor >= 0:
        told = {"kind": type(error).__name__, "code": error.code, "message": str(error), "hint": error.hint}
        tell(descriptor, json.dumps(told).encode() + b"\n")


def _await_ready(reader: int, process: subprocess.Popen[bytes], place: Place, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    said = b""
    while not said.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([reader], [], [], left_s)[0]:
            raise TimedOut(
                "cli.start-timeout",
                f"node {process.pid} is not ready after {show_duration(patience_s)}; it goes on starting",
                hint=f"arqon node logs {place.option}",
            )
        piece = os.read(reader, 65_536)
        if not piece:
            break
        said += piece
    if said == b"ready\n":
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    raise _told(said) or _died(process, place)


def _told(said: bytes) -> ArqonError | None:
    try:
        told = json.loads(said)
        kind = getattr(errors, told["kind"], ArqonError)
        return kind(told["code"], told["message"], hint=told["hint"]) if issubclass(kind, ArqonError) else None
    except (ValueError, KeyError, TypeError):
        return None


def _died(process: subprocess.Popen[bytes], place: Place) -> ArqonError:
    lines = [line for line in last_lines(place.files.log, 20) if line.strip()]
    last = f": {lines[-1][:200]}" if lines else ""
    how = f"with code {process.returncode}" if gone(process.pid) else "its pipe"
    return ArqonError(
        "cli.start-died",
        f"node {process.pid} ended {how} before it was ready{last}; its log says more",
        hint=f"arqon node logs {place.option}",
    )
