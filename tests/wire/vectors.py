"""Test vectors of others, kept beside the checkout; tests that need them are skipped where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file. Skips the test where the folder is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no test vectors at {path}")
    cases: list[dict[str, Any]] = json.loads(path.read_text())
    return cases
