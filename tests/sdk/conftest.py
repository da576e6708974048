"""What kit.py makes, as fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sdk import kit


@pytest.fixture
def typescript() -> Path:
    """The TypeScript client with its package built."""
    return kit.built("build")


@pytest.fixture
def typescript_tests() -> Path:
    """The TypeScript client with its tests built."""
    return kit.built("build:test")
