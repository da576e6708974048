"""The process behind `arqon node start`: from a data directory to a running node, and back out without a loss."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from arqonmesh.api.doorstep import Doorstep
from arqonmesh.config.datadir import DataDir
from arqonmesh.config.environ import strangers
from arqonmesh.config.load import load
from arqonmesh.config.model import HistorySettings
from arqonmesh.observe.logging import configure
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.history import HistoryKeeper
from arqonmesh.runtime.log_events import log_events
from arqonmesh.runtime.priority import ask_for_more, asks_for_more
from arqonmesh.runtime.reload import reload_by_signal
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keystore import load_node_key

SWITCH_INTERVAL_S: Final = 0.000_5
"""Python hands its lock over after 5 ms by default, and the store's writer asks for it a few times per commit: under
a saturated event loop a synced commit then took 320 ms at the median, and 14 ms with this."""


def run(data_dir: Path, ready: Callable[[], None] | None = None) -> int:
    """Run the node of `data_dir` until SIGTERM, SIGINT or a stop over the control socket.

    `ready` is called once clients, peers and the control socket are served. Returns the exit code; raises ArqonError
    (configuration, keys, store, taken ports) before anything was served.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    layout = DataDir(data_dir)
    config = load(layout.config, os.environ)
    key = load_node_key(layout.node_key)
    configure(config.log)
    if asks_for_more(config.node) and not ask_for_more() and config.node.priority == "high":
        structlog.get_logger("arqonmesh.node").warning(
            "node.priority: high was not given: it takes root, CAP_SYS_NICE or LimitNICE=-10 of its unit"
        )
    for stranger in strangers(os.environ):
        structlog.get_logger("arqonmesh.node").warning(str(stranger))
    _allow_many_connections()
    store = Store.open(layout.database)

    def make(history: HistoryKeeper) -> Service:
        return Service(config, key, store, layout.root, history)

    return asyncio.run(_serve(make, config.bus.history, store, layout, ready))


def _allow_many_connections() -> None:
    """Bus clients are file descriptors; the usual soft limit of 1,024 is far below `bus.clients_max`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _set_aside_what_stays() -> None:
    """What the start made lives as long as the process; the garbage collector need not look at it again.

    It also is what a full collection waits for: Python makes one when a quarter as many objects as survived the last
    one are new. Counted with the modules and the schemas (100,000 objects), some 4,000 connections that had ended, 2 KB
    each in a ring of references (asyncio's transports refer to themselves), waited for it.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # which counts what is left: next to nothing
    gc.enable()  # whoever started us may have let it rest until here


def _hung_up(service: Service, on_a_terminal: bool) -> None:
    """SIGHUP: read the settings again; from a terminal that is gone it means what it always meant (termios(4))."""
    if on_a_terminal and not sys.stdin.isatty():
        service.request_stop("the terminal is gone")
    else:
        reload_by_signal(service)


async def _serve(
    make: Callable[[HistoryKeeper], Service],
    settings: HistorySettings,
    store: Store,
    layout: DataDir,
    ready: Callable[[], None] | None,
) -> int:
    try:
        history = HistoryKeeper(layout.root, settings)
        try:
            service = make(history)
        except BaseException:
            await history.close("")
            raise
    except BaseException:
        await store.close()
        raise
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, _hung_up, service, sys.stdin is not None and sys.stdin.isatty())
    teller = asyncio.create_task(log_events(service.log))
    api = Doorstep(Control(service), layout.claim_control_socket())
    try:
        await service.open()
        await api.start()
        _set_aside_what_stays()
        if ready is not None:
            ready()
        await service.stopping.wait()
    finally:
        await api.close()
        await service.close()
        await teller
    return 0 if service.failure is None else 1
