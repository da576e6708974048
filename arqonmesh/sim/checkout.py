"""Which commit this is, when the code runs from a checkout: read from the files, so that it costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def commit(root: Path = ROOT) -> str:
    """Twelve digits; empty when `root` is no checkout."""
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        if (git / name).exists():
            return (git / name).read_text().strip()[:12]
        for line in (git / "packed-refs").read_text().splitlines():
            digits, _, ref = line.partition(" ")
            if ref == name:
                return digits[:12]
    except OSError:
        pass
    return ""
