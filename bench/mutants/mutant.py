"""One planted bug: the rule it breaks, where, and the tests that should notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class StaleMutant(Exception):
    """The code that a mutant changes is not there any more (or twice): the catalogue is out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    name: str
    rule: str
    """What a correct core does and this one does not."""
    path: str
    """The file, from the root of the tree."""
    old: str
    """Text that occurs exactly once in it."""
    new: str
    tests: tuple[str, ...]
    """Files or folders of tests that are run, the likely killer first."""

    def planted(self, tree: Path) -> str:
        """The file of `tree` with the bug in it. Raises StaleMutant unless `old` occurs exactly once and the result
        compiles."""
        text = (tree / self.path).read_text()
        if text.count(self.old) != 1:
            raise StaleMutant(
                f"{self.name}: {text.count(self.old)} places in {self.path} read {self.old!r}; one would do"
            )
        changed = text.replace(self.old, self.new)
        compile(changed, self.path, "exec")
        return changed

    def plant(self, tree: Path) -> None:
        """Change the file in `tree`. Raises StaleMutant as `planted` does."""
        (tree / self.path).write_text(self.planted(tree))
