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

    def plant(self, tree: Path) -> None:
        """Change the file in `tree`. Raises StaleMutant unless `old` occurs exactly once and the result compiles."""
        file = tree / self.path
        text = file.read_text()
        if text.count(self.old) != 1:
            raise StaleMutant(
                f"{self.name}: {text.count(self.old)} places in {self.path} read {self.old!r}; one would do"
            )
        changed = text.replace(self.old, self.new)
        compile(changed, self.path, "exec")
        file.write_text(changed)
