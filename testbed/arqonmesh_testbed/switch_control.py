"""How the switch is told what to do: JSON lines over a Unix socket, one answer per order, in order.

{"op": "cut", "a": "hub", "b": "s1", "one_way": false}   ->   {"ok": true, "at_ms": 1767225600000.25}
{"op": "cut", "a": "hub", "b": "s9"}                      ->   {"ok": false, "code": "lab.no-node", "message": ...}
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from arqonmesh import errors
from arqonmesh.errors import ArqonError, ConfigError, NotRunning, TimedOut

LINE_BYTES_MAX: Final = 65_536
CLIENTS_MAX: Final = 16
TIMEOUT_S: Final = 5.0

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlServer:
    """The switch's end, on the switch's own epoll."""

    def __init__(self, path: Path, epoll: select.epoll, handler: Handler) -> None:
        self._path = path
        self._epoll = epoll
        self._handler = handler
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            self._listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        self._listener.listen(CLIENTS_MAX)
        epoll.register(self._listener, select.EPOLLIN)

    def serve(self, descriptor: int) -> bool:
        """Something happened on a descriptor; False when it is none of ours."""
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor in self._clients:
            self._read(descriptor)
        else:
            return False
        return True

    def close(self) -> None:
        for descriptor in list(self._clients):
            self._drop(descriptor)
        self._epoll.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        self._clients[client.fileno()] = (client, bytearray())
        self._epoll.register(client, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        client, received = self._clients[descriptor]
        try:
            piece = client.recv(LINE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        received += piece
        if not piece or (b"\n" not in received and len(received) > LINE_BYTES_MAX):
            self._drop(descriptor)
            return
        *lines, rest = bytes(received).split(b"\n")
        received[:] = rest
        for line in lines:
            answer = json.dumps(self._answer(line)).encode() + b"\n"
            try:
                whole = client.send(answer) == len(answer)
            except OSError:
                whole = False
            if not whole:  # who sends orders and does not read the answers is not waited for
                self._drop(descriptor)
                return

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            order = json.loads(line)
            if not isinstance(order, dict):
                raise ConfigError("lab.order", f"an order is {order!r:.80}; it needs to be a JSON object")
            return {"ok": True, **self._handler(order)}
        except (ValueError, RecursionError) as error:
            return {"ok": False, "kind": "ConfigError", "code": "lab.order", "message": f"no JSON: {error}", "hint": ""}
        except ArqonError as error:
            kind = type(error).__name__
            return {"ok": False, "kind": kind, "code": error.code, "message": str(error), "hint": error.hint}

    def _drop(self, descriptor: int) -> None:
        client, _ = self._clients.pop(descriptor)
        self._epoll.unregister(client)
        client.close()


def order(path: Path, op: str, **arguments: Any) -> dict[str, Any]:
    """Send one order and return its answer. Raises what the switch raised, NotRunning when no switch listens."""
    line = json.dumps({"op": op, **arguments}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        try:
            client.connect(os.fspath(path))
            client.sendall(line)
            answer = b""
            while not answer.endswith(b"\n"):
                piece = client.recv(LINE_BYTES_MAX)
                if not piece:
                    raise ConnectionResetError("it closed the connection")
                answer += piece
        except TimeoutError:
            raise TimedOut(
                "lab.switch-late", f"the switch gave no answer to {op} in {TIMEOUT_S:g} s", hint="arqon lab down"
            ) from None
        except OSError as error:
            raise NotRunning(
                "lab.not-up",
                f"no switch answers at {path} ({error.strerror or error}); what is left of the lab needs to go first",
                hint="arqon lab down",
            ) from None
    told: dict[str, Any] = json.loads(answer)
    if told.pop("ok"):
        return told
    kind = getattr(errors, str(told.get("kind")), ArqonError)
    raise kind(told["code"], told["message"], hint=told["hint"])
