"""Times as text: ISO 8601 in UTC with Z, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


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
