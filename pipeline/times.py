"""Times as text: ISO 8601 in UTC with Z, to the second."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def now_utc() -> str:
    """The time now."""
    return iso_utc(datetime.now(UTC))


def iso_utc(moment: datetime) -> str:
    """An aware time as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> datetime:
    """The inverse of `iso_utc`; a text without a time zone is taken as UTC.

    Raises:
        ValueError: If the text is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration_s(text: str) -> float:
    """Seconds in "90s", "30min", "6h", "1h30m" or "2d".

    Raises:
        ValueError: If the text is no such length of time.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?) ?(min|s|m|h|d)", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text.replace(" ", ""):
        raise ValueError(f"{text!r} is no length of time: 90s, 30min, 6h, 1h30m or 2d is wanted")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def in_words(seconds: float) -> str:
    """A length of time for people: "40 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def span(text: str) -> tuple[str, str]:
    """First and last moment that a time can mean: a whole day where only the date is known.

    Exactly midnight is taken for a date alone; should it be a time, it lies in the span all the same.

    Args:
        text: UTC, ISO 8601 with Z.
    """
    moment = from_iso(text)
    if (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        return text, text
    return text, iso_utc(moment + timedelta(days=1))
