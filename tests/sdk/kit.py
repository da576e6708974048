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
def problem() -> str:
    """Why the TypeScript client cannot be tested here; empty when node_modules is as the lock file says."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "no node and npm on this machine"
    version = run(node, "--version").stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN:
        return f"node is {version}, it needs {NODE_MAJOR_MIN}"
    lock, installed = TYPESCRIPT / "package-lock.json", TYPESCRIPT / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return ""
    try:
        done = run(npm, "ci", "--prefer-offline", "--fetch-retries=1", "--loglevel=error")
    except subprocess.TimeoutExpired:
        return "npm ci did not end in time"
    return f"npm ci failed: {done.stderr.strip()[-300:]}" if done.returncode else ""


@functools.cache
def built(what: str) -> Path:
    """After `npm run build` (dist/, the package) or `npm run build:test` (build/, its tests)."""
    if problem():
        pytest.skip(f"the TypeScript client is not tested: {problem()}")
    done = run("npm", "run", "--silent", what)
    assert done.returncode == 0, done.stdout + done.stderr
    return TYPESCRIPT
