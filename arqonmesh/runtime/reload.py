"""The settings of a running node against those on disk: what differs, and taking over what can be taken.

All or nothing: everything that can fail (reading, checking, the keys of tokens) is done before anything is changed.
The node reads under its own environment, which is not that of whoever asks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import structlog

from arqonmesh.api.node_views import ConfigChangesView, ConfigChangeView
from arqonmesh.config.changes import Change, changes, hot_part, plain
from arqonmesh.config.datadir import DataDir
from arqonmesh.config.load import Examined, examine, read_file
from arqonmesh.config.model import Config
from arqonmesh.config.problems import Problem
from arqonmesh.config.relations import broken_relations
from arqonmesh.errors import ArqonError, ConfigError
from arqonmesh.observe.logging import configure

if TYPE_CHECKING:
    from arqonmesh.bridge.auth.authenticator import Authenticator
    from arqonmesh.runtime.service import Service

_log = structlog.get_logger("arqonmesh.node")


def pending(service: Service) -> ConfigChangesView:
    """What a reload would do. Raises the ConfigError with which it would be refused."""
    seen, new, _, _ = _prepared(service)
    return _view(service, seen, changes(service.config, new), applied=False)


def reload(service: Service) -> ConfigChangesView:
    """Take what can be taken. Raises ConfigError, and then nothing was changed."""
    seen, new, config, authenticator = _prepared(service)
    found = changes(service.config, new)
    log_changed = config.log != service.config.log
    service.adopt(config, authenticator)
    if log_changed:
        configure(config.log)
    service.log.add("node", _told(found))
    return _view(service, seen, found, applied=True)


def reload_by_signal(service: Service) -> None:
    """As `reload`; what is wrong goes to the log."""
    try:
        reload(service)
    except ArqonError as error:
        service.log.add("node", f"settings not reloaded, nothing was changed: {error} [{error.code}]")
        _log.error("settings not reloaded, nothing was changed", code=error.code, reason=str(error))


def _prepared(service: Service) -> tuple[Examined, Config, Config, Authenticator]:
    """The file as it was seen, its settings, those that the node can have now, and who judges clients by them."""
    path = DataDir(service.data_dir).config
    seen = examine(read_file(path), path.name, os.environ)
    if seen.config is None:
        first, more = seen.problems[0], len(seen.problems) - 1
        others = f", and {more} more problem{'s' if more > 1 else ''}" if more else ""
        raise ConfigError(
            first.code, f"{first.error()}{others}; nothing was changed", hint=first.hint or "arqon config check"
        )
    config = hot_part(service.config, seen.config)
    for problem in broken_relations(config, seen.where):
        raise _needs_restart(
            problem, [change for change in changes(service.config, seen.config) if not change.setting.hot]
        )
    authenticator = service.authenticator.candidate(config.bus)
    for name in ("bus", "telemetry"):
        if address := getattr(config.listen, name):
            authenticator.check_listen(address.rpartition(":")[0].strip("[]"), f"listen.{name}")
    return seen, seen.config, config, authenticator


def _needs_restart(problem: Problem, waiting: list[Change]) -> ConfigError:
    """A setting that could be taken and goes with others that could not: alone it would be what nobody wrote."""
    meant = [change for change in waiting if change.setting.name in problem.sentence] or waiting
    others = " and ".join(
        f"{change.setting.name}, which is {_json(change, change.after)} there and {_json(change, change.before)} in "
        "the running node"
        for change in meant
    )
    return ConfigError(
        "config.needs-restart",
        f"{problem.key} ({problem.origin}) goes with {others}; a restart takes both, a reload only the first, so that "
        "nothing was changed",
        hint="arqon node stop, then arqon node start",
    )


def _view(service: Service, seen: Examined, found: list[Change], *, applied: bool) -> ConfigChangesView:
    return ConfigChangesView(
        file=str(DataDir(service.data_dir).config),
        applied=applied,
        changes=tuple(
            ConfigChangeView(
                name=change.setting.name,
                running=_json(change, change.before),
                file=_json(change, change.after),
                origin=str(seen.origin(change.setting.path)),
                hot=change.setting.hot,
            )
            for change in found
        ),
        warnings=tuple(str(stranger) for stranger in seen.strangers),
    )


def _json(change: Change, value: object) -> str:
    return msgspec.json.encode(plain(change.setting, value)).decode()


def _told(found: list[Change]) -> str:
    taken = [
        f"{change.setting.name} {_json(change, change.before)} -> {_json(change, change.after)}"
        for change in found
        if change.setting.hot
    ]
    waiting = [change.setting.name for change in found if not change.setting.hot]
    told = f"settings reloaded: {', '.join(taken) or 'nothing to change'}"
    return f"{told}; a restart is needed for {', '.join(waiting)}" if waiting else told
