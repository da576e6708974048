"""Labs of the tests: names of their own, directories of their own, and a look at what is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arqonmesh_testbed import namespaces


@pytest.fixture
def needs_netns() -> None:
    """Skips, with the reason, where no network namespaces can be made."""
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def lab_name(needs_netns: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A lab name that no other process uses, its files under tmp_path; whatever is left of it fails the test."""
    name = f"t{os.getpid()}"
    monkeypatch.setenv("ARQON_LAB_DIR", str(tmp_path / "labs"))
    monkeypatch.setenv("ARQON_LAB_NAME", name)
    left = namespaces.of_lab(name)
    assert not left, f"a former test left {left}"
    yield name
    left = namespaces.of_lab(name)
    for namespace in left:
        namespaces.remove(namespace)
    assert not left, f"this test left {left}"
