"""The control socket before the first call: a plain listener in place of gRPC's server, which costs a node 16 MB.

    listening --first bytes of a caller--> gRPC is imported (off the loop) and started on a socket beside
              --renamed over ours--> callers reach gRPC itself; those who came before are carried there, byte by byte

A caller that says nothing (a probe whether the node lives, `node start` asking who listens) loads nothing. What is
imported cannot be given back: a node that was asked once is as large as it always was.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, Protocol

import structlog

from arqonmesh.api.control import NodeControl
from arqonmesh.api.socket_file import beside, clear_the_way, making

CARRIED_MAX: Final = 32
"""Callers on the doorstep at once; as many again wait in the backlog, and who comes then is turned away by the kernel,
and comes again (client.py)."""
PAUSE_S: Final = 1.0
"""For which nobody is taken after accept(2) found no descriptor or no memory: who waits is reported again at once."""
FIRST_WORD_S: Final = 10.0
"""How long a caller may say nothing."""
PIECE_BYTES: Final = 65_536

_log = structlog.get_logger(__name__)


class Server(Protocol):
    """What serves once somebody calls."""

    async def start(self) -> None: ...
    async def close(self, grace_s: float = 1.0) -> None: ...


def grpc_server(control: NodeControl, path: Path) -> Server:
    """ApiServer, imported by who calls this."""
    made: Server = importlib.import_module("arqonmesh.api.server").ApiServer(control, path)
    return made


class Doorstep:
    """`start()` binds the socket, `close()` lets calls in flight finish. One per process."""

    def __init__(
        self, control: NodeControl, path: Path, make: Callable[[NodeControl, Path], Server] = grpc_server
    ) -> None:
        self._control = control
        self._path = path
        self._make = make
        self._listener: socket.socket | None = None
        self._server: Server | None = None
        self._loading = asyncio.Lock()
        self._carried: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._exhausted = False
        """Out of descriptors or memory since the last caller, which is told once."""
        self._closing = False
        self._loop = asyncio.get_running_loop()

    @property
    def loaded(self) -> bool:
        """Somebody has called, and gRPC serves."""
        return self._server is not None

    async def start(self) -> None:
        """Listen. Raises UsageError when another process serves here, ConfigError when nobody could."""
        clear_the_way(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            with making(self._path):
                listener.bind(os.fspath(self._path))
            listener.listen(CARRIED_MAX)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._listen()

    async def close(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give those in flight `grace_s`, remove the socket. A load on its way is ended first."""
        self._closing = True
        self._stop_listening()
        async with self._loading:
            if self._server is not None:
                await self._server.close(grace_s)
        for task in list(self._carried):
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _accept(self, places: int = CARRIED_MAX) -> None:
        """Everyone who waits, as far as there are places; then the listener is left alone until one is free."""
        while self._listener is not None:
            if len(self._carried) >= places:
                self._loop.remove_reader(self._listener)
                return
            try:
                caller, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:  # this caller has gone again
                    continue
                self._rest(error)
                return
            self._exhausted = False
            caller.setblocking(False)
            task = self._loop.create_task(self._carry(caller))
            self._carried.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._carried.discard(task)
        self._listen()

    def _listen(self) -> None:
        """(Again), unless it rests or ends."""
        if self._listener is not None and self._pause is None:
            self._loop.add_reader(self._listener, self._accept)

    def _rest(self, error: OSError) -> None:
        """The listener stays readable, so without a pause the loop would do nothing else."""
        assert self._listener is not None
        self._loop.remove_reader(self._listener)
        if not self._exhausted:
            self._exhausted = True
            _log.warning("a control call could not be taken; tried again every second", error=str(error))
        if self._pause is None:
            self._pause = self._loop.call_later(PAUSE_S, self._rested)

    def _rested(self) -> None:
        self._pause = None
        self._listen()

    async def _carry(self, caller: socket.socket) -> None:
        """One caller, from its first bytes to its end."""
        with caller, contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FIRST_WORD_S):
                first = await self._loop.sock_recv(caller, PIECE_BYTES)
            if not first:
                return
            try:
                await self._load()
            except Exception as error:  # the caller sees a closed connection; the reason is told here
                _log.error("the control API could not be started", exc_info=error)
                return
            if not self.loaded:
                return
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
                inner.setblocking(False)
                await self._loop.sock_connect(inner, os.fspath(self._path))
                await self._loop.sock_sendall(inner, first)
                await _first_of(self._pump(caller, inner), self._pump(inner, caller))

    async def _load(self) -> None:
        """Once; not any more when the node stops. Raises what keeps the server from starting: nothing of it is left."""
        async with self._loading:
            if self._server is not None or self._closing:
                return
            if self._make is grpc_server:
                await asyncio.to_thread(importlib.import_module, "arqonmesh.api.server")
            aside = beside(self._path)
            server = self._make(self._control, aside)
            try:
                await server.start()
                os.rename(aside, self._path)
            except BaseException:
                await server.close(0)
                aside.unlink(missing_ok=True)
                raise
            self._server = server
            self._accept(2 * CARRIED_MAX)  # who knocked at ours until now: the backlog is no longer than that
            self._stop_listening()

    def _stop_listening(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _pump(self, source: socket.socket, target: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, PIECE_BYTES):
            await self._loop.sock_sendall(target, data)


async def _first_of(*flows: Coroutine[None, None, None]) -> None:
    """Until one of them ends: a gRPC connection has no use for half."""
    tasks = [asyncio.ensure_future(flow) for flow in flows]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
