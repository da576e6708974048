"""The control socket before the first call: a plain listener in place of gRPC's server, which costs a node 16 MB.

    listening --first bytes of a caller--> gRPC is imported (off the loop) and started on a socket beside
              --renamed over ours--> callers reach gRPC itself; those who came before are carried there, byte by byte

A caller that says nothing (a probe whether the node lives, `node start` asking who listens) loads nothing. What is
imported cannot be given back: a node that was asked once is as large as it always was.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, Protocol

import structlog

from arqonmesh.api.control import NodeControl
from arqonmesh.api.socket_file import clear_the_way, making

CARRIED_MAX: Final = 32
"""Callers on the doorstep at once; more wait in the listener's backlog, or are closed when they found a place there."""
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
        self._loop.add_reader(listener, self._accept)

    async def close(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give those in flight `grace_s`, remove the socket."""
        self._stop_listening()
        if self._server is not None:
            await self._server.close(grace_s)
        for task in list(self._carried):
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        """Everyone who waits."""
        while self._listener is not None:
            try:
                caller, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # out of descriptors, most likely: the caller goes, the node stays
                _log.warning("a control call could not be taken", error=str(error))
                return
            caller.setblocking(False)
            if len(self._carried) >= CARRIED_MAX:
                caller.close()
                continue
            task = self._loop.create_task(self._carry(caller))
            self._carried.add(task)
            task.add_done_callback(self._carried.discard)

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
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
                inner.setblocking(False)
                await self._loop.sock_connect(inner, os.fspath(self._path))
                await self._loop.sock_sendall(inner, first)
                await _first_of(self._pump(caller, inner), self._pump(inner, caller))

    async def _load(self) -> None:
        async with self._loading:
            if self._server is not None:
                return
            if self._make is grpc_server:
                await asyncio.to_thread(importlib.import_module, "arqonmesh.api.server")
            beside = self._path.with_name("~" + self._path.name[1:])  # as long: a path is short of room (unix(7))
            server = self._make(self._control, beside)
            await server.start()
            os.rename(beside, self._path)
            self._server = server
            self._accept()  # who knocked at ours until now
            self._stop_listening()

    def _stop_listening(self) -> None:
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
