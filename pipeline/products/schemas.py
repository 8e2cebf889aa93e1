"""What our own files must look like when they are read again: somebody may have changed them.

Raises ValueError with one line: the first thing that is wrong, and where.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.scene import Record
from pipeline.text import one_line


class _Manifest(BaseModel):
    content_digest: str = ""
    rule: str = ""
    recipe: str = ""
    recipe_digest: str = ""
    run_id: str = ""
    created: str = ""
    inputs: tuple[dict[str, str | int], ...] = ()
    files: dict[str, tuple[int, str]]


_RECORD = TypeAdapter(Record)


def parse_manifest(content: bytes) -> dict[str, Any]:
    """A product's manifest; ValueError where it is none."""
    plain = parse_object(content)
    if not isinstance(plain.get("files"), dict):
        raise ValueError("lists no files")
    _checked(_Manifest.model_validate, plain)
    return plain


def parse_record(content: bytes) -> Record:
    """A scene's record, without the provenance that a product's has beside it; ValueError if it is none."""
    plain = parse_object(content)
    plain.pop("provenance", None)  # kept beside the record, for people
    _checked(_RECORD.validate_python, plain)
    try:
        return Record.from_json(plain)
    except (KeyError, TypeError) as error:
        raise ValueError(f"is no record: {one_line(error, 120)}") from error


def parse_object(content: bytes) -> dict[str, Any]:
    """A JSON object; ValueError where it is none."""
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {one_line(error, 120)}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"is no JSON object: {type(plain).__name__}")
    return plain


def _checked(check: Any, plain: dict[str, Any]) -> None:
    try:
        check(plain)
    except ValidationError as error:
        wrong = error.errors()[0]
        where = one_line(".".join(str(part) for part in wrong["loc"]), 120)
        raise ValueError(f"{where}: {wrong['msg']}") from error
