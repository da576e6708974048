"""Message ids and timestamps: `arq_` + ULID, strictly rising within this node, and ISO 8601 in UTC.

The ids follow https://github.com/ulid/spec (monotonic variant). A wall clock that steps back does not step the
ids back: they go on from the newest millisecond seen. Timestamps show the wall clock as it is.
"""

from __future__ import annotations

import re
from typing import Final

from arqonmesh.core.kernel import Rng
from arqonmesh.ids import encode_ulid

_CROCKFORD: Final = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(bytes((a, b)) for a in _CROCKFORD for b in _CROCKFORD)
_COUNTER_END: Final = 1 << 20
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?"
)


class Stamps:
    """Ids and timestamps of one node. Call `at` once per input, then take as many as wanted."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._id_ms = -1
        self._id_high = -1
        self._id_high_text = b""
        """What ids of the same 1,024 milliseconds begin with."""
        self._id_prefix = b""
        self._counter = 0
        self._second = -1
        self._second_text = b""
        self._wall_ms = -1
        self.time = b""
        """The wall clock of the last `at`, without a zone: 2026-03-01T12:00:00.123."""
        self.tomorrow = ""
        """The date after that of `time`: the last that a client's timestamp may have, whatever its zone."""
        self.at(0)

    def at(self, wall_ms: int) -> None:
        """Note the wall clock, milliseconds since 1970."""
        if wall_ms == self._wall_ms:
            return
        self._wall_ms = wall_ms
        second, milliseconds = divmod(wall_ms, 1_000)
        if second != self._second:
            self._second = second
            self._second_text = _iso_second(second)
            year, month, day = _civil(second // 86_400 + 1)
            self.tomorrow = f"{year:04d}-{month:02d}-{day:02d}"
        self.time = b"%b.%03d" % (self._second_text, milliseconds)
        if wall_ms > self._id_ms:
            self._begin(wall_ms)

    def next_id(self) -> bytes:
        """The next message id, greater than all before."""
        counter = self._counter
        if counter == _COUNTER_END:
            self._begin(self._id_ms + 1)
            counter = self._counter
        self._counter = counter + 1
        return self._id_prefix + _PAIRS[counter >> 10] + _PAIRS[counter & 1023]

    def _begin(self, ms: int) -> None:
        self._id_ms = ms
        if ms >> 10 != self._id_high:
            self._id_high = ms >> 10
            self._id_high_text = b"arq_" + encode_ulid(ms, 0)[:8].encode()
        chance = self._rng.getrandbits(60)
        self._id_prefix = b"".join(
            (
                self._id_high_text,
                _PAIRS[ms & 1023],
                _PAIRS[chance >> 50],
                _PAIRS[chance >> 40 & 1023],
                _PAIRS[chance >> 30 & 1023],
                _PAIRS[chance >> 20 & 1023],
                _PAIRS[chance >> 10 & 1023],
                _PAIRS[chance & 1023],
            )
        )
        # Half of the counter is left free, so that a millisecond holds at least 500,000 ids.
        self._counter = self._rng.getrandbits(19)


def iso(wall_ms: int) -> str:
    """2026-03-01T12:00:00.123Z of milliseconds since 1970."""
    second, milliseconds = divmod(wall_ms, 1_000)
    return f"{_iso_second(second).decode()}.{milliseconds:03d}Z"


def _iso_second(second: int) -> bytes:
    days, rest = divmod(second, 86_400)
    year, month, day = _civil(days)
    return b"%04d-%02d-%02dT%02d:%02d:%02d" % (year, month, day, rest // 3_600, rest // 60 % 60, rest % 60)


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a count of days since 1970-01-01, in eras of 400 years that begin on a 1 March."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def ms_of(text: str) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 time: 2026-03-01T12:00:00.123Z, also without the fraction, with an offset
    such as +02:00, or with the date alone; without a zone it is UTC. None when it is none."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    milliseconds = int((found[7] or "").ljust(3, "0")[:3])
    east = 0
    if found[8]:
        east = (int(found[9]) * 60 + int(found[10])) * (-60 if found[8] == "-" else 60)
    seconds = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - east
    return seconds * 1_000 + milliseconds


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; the inverse of `_civil`."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
