"""An option's or argument's value that does not fit, in our words: the libraries that check it speak of themselves."""

from __future__ import annotations

import re
from typing import Any, Final

_QUOTED: Final = re.compile(r"'([^']*)'")
_LEADS: Final = ("Value error, ", "Assertion failed, ")
_KINDS: Final = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
}
"""What pydantic calls a failure, and what would have been right (docs.pydantic.dev, validation errors)."""


def told(seen: str, parameter: Any, cause: BaseException | None) -> str:
    """`--role is 'boss'; it needs to be one of hub, spoke or leader`; `seen` is what the library says, which is told
    without its own words where there are none of ours. `parameter`: as typer has it; `cause`: a ValidationError."""
    for lead in _LEADS:
        seen = seen.replace(lead, "")
    reasons = getattr(cause, "errors", None)
    if parameter is None or reasons is None:
        return seen
    reason = reasons()[0]
    value, kind = reason.get("input"), reason.get("type", "")
    right = _KINDS.get(kind, "").format_map(reason.get("ctx") or {})
    _, is_choice, choices = reason.get("msg", "").rpartition(" is not one of ")
    if is_choice:
        names = _QUOTED.findall(choices)
        right = f"one of {', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return f"{_name(parameter)} is {value!r}; it needs to be {right}" if right else seen


def _name(parameter: Any) -> str:
    """The long one of an option, an argument as the help shows it."""
    long = [name for name in parameter.opts if name.startswith("--")]
    return long[0] if long else str(parameter.metavar or parameter.name)
