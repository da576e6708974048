"""The TypeScript client, installed and built once per run; skipped by name where this machine cannot."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

TYPESCRIPT = Path(__file__).resolve().parents[2] / "clients" / "typescript"
NODE_MAJOR_MIN = 20


def run(*command: str, timeout_s: float = 110, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=TYPESCRIPT, capture_output=True, text=True, timeout=timeout_s, env=env)


@functools.cache
def installed() -> Path:
    """Its directory, with node_modules as the lock file says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the TypeScript client is not tested: no node and npm on this machine")
    version = run(node, "--version").stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"the TypeScript client is not tested: node is {version}, it needs {NODE_MAJOR_MIN}")
    lock, done_before = TYPESCRIPT / "package-lock.json", TYPESCRIPT / "node_modules" / ".package-lock.json"
    if not done_before.exists() or done_before.stat().st_mtime < lock.stat().st_mtime:
        done = run(npm, "ci", "--prefer-offline", "--loglevel=error")
        if done.returncode:
            pytest.skip(f"the TypeScript client is not tested: npm ci failed: {done.stderr.strip()[-300:]}")
    return TYPESCRIPT


@functools.cache
def built(what: str) -> Path:
    """After `npm run build` (dist/, the package) or `npm run build:test` (build/, its tests)."""
    folder = installed()
    done = run("npm", "run", "--silent", what)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
