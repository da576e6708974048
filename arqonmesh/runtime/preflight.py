"""What a start would refuse although the settings hold together: keys that cannot be read, an open bus on a network,
another cluster or role than the mesh admitted the node with.

For `arqon config check`, which promises what the next start will say. Nothing is made or changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

from arqonmesh.bridge.auth.api_keys import FILE as API_KEYS_FILE
from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator, wall_clock_ms
from arqonmesh.config.load import Examined
from arqonmesh.config.model import Config
from arqonmesh.config.problems import Problem
from arqonmesh.errors import ArqonError
from arqonmesh.runtime.admitted import contradictions, stored_admission


def refusals(config: Config, data_dir: Path, seen: Examined) -> Iterator[Problem]:
    """One by one, each with its code and the place of the setting; files are looked for from `data_dir` on."""

    def problem(name: str, error: ArqonError) -> Problem:
        return Problem(error.code, name, error.sentence, seen.where(tuple(name.split("."))), error.hint)

    for name, error in contradictions(stored_admission(data_dir), config.node):
        yield problem(name, error)
    path = data_dir / API_KEYS_FILE
    try:
        opened = closing(ApiKeys(path, wall_clock_ms)) if path.exists() else nullcontext()
    except ArqonError as error:
        yield problem("bus.auth", error)
        return
    with opened as keys:
        try:
            authenticator = Authenticator(config.bus, base=data_dir, keys=keys)
        except ArqonError as error:
            yield problem("bus.auth.jwt", error)
            return
        for name in ("bus", "telemetry"):
            if address := getattr(config.listen, name):
                try:
                    authenticator.check_listen(address.rpartition(":")[0].strip("[]"), f"listen.{name}")
                except ArqonError as error:
                    yield problem(f"listen.{name}", error)
