"""The TypeScript client, installed and built once; skipped by name where this machine cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TYPESCRIPT = Path(__file__).resolve().parents[2] / "clients" / "typescript"
NODE_MAJOR_MIN = 20


def run(*command: str, timeout_s: float = 110, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=TYPESCRIPT, capture_output=True, text=True, timeout=timeout_s, env=env)


@pytest.fixture(scope="session")
def typescript() -> Path:
    """Its directory, with node_modules as the lock file says and build/ made."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the TypeScript client is not tested: no node and npm on this machine")
    version = run(node, "--version").stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"the TypeScript client is not tested: node is {version}, it needs {NODE_MAJOR_MIN}")
    lock, installed = TYPESCRIPT / "package-lock.json", TYPESCRIPT / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = run(npm, "ci", "--prefer-offline", "--loglevel=error")
        if done.returncode:
            pytest.skip(f"the TypeScript client is not tested: npm ci failed: {done.stderr.strip()[-300:]}")
    built = run(npm, "run", "--silent", "build:test")
    assert built.returncode == 0, built.stdout + built.stderr
    return TYPESCRIPT
