"""Bounds of a frame that its types cannot say: how deeply it nests, and which dates its timestamp may have."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from arqonmesh.core.bus.protocol.fields import DEPTH_MAX

ARRAYS_BYTES_MAX: Final = 2 * DEPTH_MAX
OBJECTS_BYTES_MAX: Final = 5 * DEPTH_MAX
"""A frame that is no longer than this, the latter without arrays, cannot nest too deeply: a level of arrays takes two
bytes, `[]`, a level of objects five, `{"":}`."""
EARLIEST: Final = "2000-01-01"
_MINUTES_REMEMBERED: Final = 64

_ARRAY: Final = ord("[")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_MINUTE: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]")
_REST: Final = re.compile(
    r"(?::(?:[0-5][0-9]|60)(?:[.,][0-9]{1,9})?)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)
_SECONDS: Final = frozenset(f":{second:02d}" for second in range(61))
_END: Final = re.compile(r"(?:[.,][0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?")
"""What may follow the seconds; as at the end of `_REST`."""
_END_LENGTH_MAX: Final = 16
_ENDS_REMEMBERED: Final = 1_024
"""All milliseconds of one zone."""
_LONG_MONTHS: Final = (1, 3, 5, 7, 8, 10, 12)


def is_too_deep(frame: bytes) -> bool:
    """Whether arrays and objects nest more than `DEPTH_MAX` deep in a frame that is JSON.

    A frame with few brackets cannot, wherever they stand. In any other, strings are taken out first, for a bracket in
    one may open or close what is not there; then every pass takes away what is innermost, at the speed of
    `bytes.replace`.
    """
    if len(frame) <= ARRAYS_BYTES_MAX or (len(frame) <= OBJECTS_BYTES_MAX and _ARRAY not in frame):
        return False
    if len(frame.translate(None, _NOT_BRACKETS)) <= 2 * DEPTH_MAX:
        return False
    bare = _STRING.sub(b"", frame) if b"\\" in frame else b"".join(frame.split(b'"')[::2])
    brackets = bare.translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(DEPTH_MAX):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def timestamp_problem(text: str, latest: str) -> str:
    """What is wrong with a timestamp; empty when nothing is. `latest` is the last date that may stand in it."""
    if text[16:19] in _SECONDS and len(text) <= 19 + _END_LENGTH_MAX:
        rest = _is_end(text[19:])
    else:
        rest = _REST.fullmatch(text, 16) is not None
    if not rest or not _is_minute(text[:16]):
        return f"timestamp is {text[:64]!r}; it needs to be ISO 8601, such as 2026-03-01T12:00:00.123Z"
    if not EARLIEST <= text[:10] <= latest:  # dates of one form compare as text does
        return (
            f"timestamp is {text[:64]!r}; it needs to be from {EARLIEST} to {latest}, which is a day ahead of the bus"
        )
    return ""


@lru_cache(_ENDS_REMEMBERED)
def _is_end(text: str) -> bool:
    """Whether `.123Z` may follow the seconds: clients write milliseconds, so there are few of them."""
    return _END.fullmatch(text) is not None


@lru_cache(_MINUTES_REMEMBERED)
def _is_minute(text: str) -> bool:
    """Whether `2026-03-01T12:00` is a minute of the calendar; what is live is nearly always of the same few."""
    found = _MINUTE.fullmatch(text)
    if found is None:
        return False
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if month == 2:
        return day <= (29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28)
    return day <= 30 or month in _LONG_MONTHS
