from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arqonmesh_testbed.loopback import LoopbackMesh
from tests.e2e import kit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.process)


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the person who runs the tests reaches the nodes."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("ARQON_DATA_DIR", "ARQON_CONTEXT", "ARQON_JOIN_KEY", "ARQON_BUS_TOKEN", "ARQON_DEBUG"):
            patched.delenv(name, raising=False)
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        # Some thirty nodes are started: compiling our own sources each time would be a third of every start.
        patched.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patched.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("pycache")))
        yield


@pytest.fixture(scope="module")
def mesh() -> Iterator[LoopbackMesh]:
    """An empty mesh for one module; its processes are gone afterwards."""
    with kit.nodes() as made:
        yield made
