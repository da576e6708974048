"""Plain data to `Config`, with everything that is wrong: the setting, its value, what would fit, and where it stands.

Names first, then types and bounds, then relations. What is wrong is set aside and the rest looked at further, so that
one look finds every problem; relations are judged only where all values are right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as mi

from arqonmesh.config.fields import describe, settings
from arqonmesh.config.model import Config
from arqonmesh.config.problems import PROBLEMS_MAX, Origin, Problem, Where, dotted
from arqonmesh.config.relations import broken_relations, show

Path = tuple[str | int, ...]

_AT: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def check(data: Mapping[str, Any], where: Where) -> tuple[Config | None, list[Problem]]:
    """The settings, None when anything is wrong with them; and what is wrong, `PROBLEMS_MAX` at most."""
    problems: list[Problem] = []
    known = _known(data, (), where, problems)
    config = _converted(known, where, problems)
    if config is not None and not problems:
        problems += broken_relations(config, where)
    return (None if problems else config), problems[:PROBLEMS_MAX]


# --- names --------------------------------------------------------------------------------------------------


def _known(data: Mapping[str, Any], prefix: tuple[str, ...], where: Where, problems: list[Problem]) -> dict[str, Any]:
    """What has a known name. `links:` with nothing (or only comments) under it means the defaults."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        path = (*prefix, key)
        setting = settings().get(path)
        if setting is None:
            problems.append(_unknown(path, where))
        elif not setting.section:
            found[key] = _copied(value)
        elif isinstance(value, Mapping):
            given = _known(value, path, where, problems)
            # A section's own default may differ from its struct's; what is not given there holds as documented.
            found[key] = given if setting.default is NODEFAULT else {**msgspec.to_builtins(setting.default), **given}
        elif value is not None:
            found[key] = value
    return found


def _copied(value: Any) -> Any:
    """Aliases make one list of two; what is set aside in one is not meant in the other."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value


def _unknown(path: tuple[str, ...], where: Where) -> Problem:
    name = ".".join(path)
    siblings = [known[-1] for known in settings() if known[:-1] == path[:-1]]
    close = difflib.get_close_matches(path[-1], siblings, n=1)
    if close:
        suggestion = ".".join((*path[:-1], close[0]))
    else:
        elsewhere = [known.name for known in settings().values() if known.path[-1] == path[-1]]
        every = [known.name for known in settings().values()]
        suggestion = (elsewhere or difflib.get_close_matches(name, every, n=1) or [""])[0]
    maybe = f"; did you mean {suggestion}" if suggestion else f"; known here: {', '.join(siblings)}" if siblings else ""
    return Problem("config.unknown-key", name, f"{name} is not a setting{maybe}", where(path))


# --- types and bounds ---------------------------------------------------------------------------------------


def _converted(data: dict[str, Any], where: Where, problems: list[Problem]) -> Config | None:
    """msgspec names one problem at a time: each is noted and set aside until the rest converts."""
    removed: dict[Path, list[int]] = {}
    """Positions that are left of a list from which items were set aside."""
    while len(problems) < PROBLEMS_MAX:
        try:
            return msgspec.convert(data, Config)
        except msgspec.ValidationError as error:
            text = str(error)
        at = _AT.search(text)
        seen = _steps(at.group(1)) if at else ()
        missing = re.match(r"Object missing required field `(.+?)`", text)
        unknown = re.match(r"Object contains unknown field `(.+?)`", text)
        path = _before(seen, removed)
        if missing:
            needed = _first_required((*path, missing.group(1)))
            if dotted(needed) not in {problem.key for problem in problems}:  # else it was set aside for another reason
                sentence = f"{dotted(needed)} is not given; it needs to be {_needs(needed)}"
                problems.append(Problem("config.missing-key", dotted(needed), sentence, where(path)))
            if needed != ("node", "cluster"):
                _set_aside(data, seen, removed)
            else:
                data.setdefault("node", {})["cluster"] = "not-given"
        elif unknown:
            sentence = f"{dotted(path)} has a {unknown.group(1)!r}; it needs to be {_needs(path)}"
            problems.append(Problem("config.unknown-key", dotted(path), sentence, where(path)))
            del _find(data, seen)[unknown.group(1)]
        else:
            problems.append(_type_problem(text, path, _find(data, seen), where(path)))
            if not seen:
                return None
            _set_aside(data, seen, removed)
    return None


def _type_problem(text: str, path: Path, value: Any, origin: Origin) -> Problem:
    hint = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "Expected `str`" in text:
        name = f"{path[-1]}: " if isinstance(path[-1], str) else "- "
        hint = f'write it in quotes: {name}"{value}"'
    setting = settings().get(tuple(part for part in path if isinstance(part, str)))
    shown = "not shown here" if setting is not None and setting.secret else show(value)
    sentence = f"{dotted(path) or 'the file'} is {shown}; it needs to be {_needs(path)}"
    return Problem("config.type", dotted(path), sentence, origin, hint)


def _set_aside(data: dict[str, Any], path: Path, removed: dict[Path, list[int]]) -> None:
    """Without this value: its default holds instead; of a list, the other items."""
    owner, last = _find(data, path[:-1]), path[-1]
    if isinstance(last, int):
        left = removed.setdefault(_before(path[:-1], removed), list(range(len(owner))))
        del left[last]
    del owner[last]


def _before(path: Path, removed: dict[Path, list[int]]) -> Path:
    """The path in the file of what is at `path` since other items were set aside."""
    found: Path = ()
    for part in path:
        left = removed.get(found)
        found = (*found, left[part] if left is not None and isinstance(part, int) else part)
    return found


def _first_required(path: Path) -> Path:
    """A section that is missing is missed for the value in it that has no default."""
    for setting in settings().values():
        if setting.path[: len(path)] == path and not setting.section and setting.default is msgspec.NODEFAULT:
            return setting.path
    return path


def _needs(path: Path) -> str:
    """What fits there, in words; also for what stands inside of a list."""
    names = tuple(part for part in path if isinstance(part, str))
    setting = settings().get(names)
    while setting is None and names:
        names = names[:-1]
        setting = settings().get(names)
    if setting is None:
        return "sections such as `node:` and `listen:`"
    kind = setting.type
    for part in path[len(names) :]:
        if isinstance(part, int) and isinstance(kind, mi.VarTupleType):
            kind = kind.item_type
        elif isinstance(kind, mi.StructType):
            kind = next((field.type for field in kind.fields if field.encode_name == part), kind)
    if kind is not setting.type and isinstance(kind, mi.StructType):
        return "a group of " + ", ".join(field.encode_name for field in kind.fields)
    return describe(kind)


def _steps(path: str) -> Path:
    """`.federation.export.allow[0]` or `...allow[...]` (msgspec's for any item) as steps."""
    return tuple(int(number) if number else name for name, number in _STEP.findall(path))


def _find(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
