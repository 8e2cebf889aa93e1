"""Keeping what was published: damaged products are found and made again, old ones are listed and deleted.

Nothing is remembered between nights: which products a night looks at follows from the day and from
their names, and what is to be made again says so itself, in a file inside the product.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from pipeline.errors import DamagedProductError
from pipeline.files import text_digest
from pipeline.products.layout import (
    DAMAGED_PREFIX,
    MANIFEST,
    REPLACED_PREFIX,
    STAGING_PREFIX,
    hidden_folders,
    manifest_digest,
    published_folders,
    recipe_folder,
    recipe_folders,
)
from pipeline.products.publish import DAMAGED, mark_for_redo, redo_reason, verify
from pipeline.products.records import read_record, write_record
from pipeline.recipe import Recipe
from pipeline.text import one_line
from pipeline.times import from_iso, now_utc

log = logging.getLogger(__name__)


def products_below(folder: Path) -> Iterator[Path]:
    """Every published product in a folder or below it, or the folder itself, by name.

    Hidden folders are left out (in the making, or moved aside), and no link is followed.
    """
    for found, folders, files in os.walk(folder):
        if MANIFEST in files:
            folders.clear()
            yield Path(found)
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def todays_share(products: Iterator[Path], share: str, day: date) -> Iterator[Path]:
    """The products whose turn it is: K of N parts for share "K/N", another K each day, all in N/K days.

    Args:
        products: Folders of published products; their parts are told by their names.
        share: "1/30"; empty for all.
        day: UTC.
    """
    count, _, parts = share.partition("/")
    for product in products:
        turn = int(text_digest(product.name)[:8], 16) - day.toordinal() * int(count or 1)
        if not share or turn % int(parts) < int(count):
            yield product


def damage(product: Path, *, quick: bool = False) -> str:
    """Why a published product is not what its manifest says, in one line; "" for a whole one."""
    try:
        verify(product, quick=quick)
    except DamagedProductError as error:
        return one_line(error)
    except OSError as error:  # a bad sector, or the rights of a file
        return f"{product.name}: cannot be read: {one_line(error)}"
    return ""


def mark_damaged(out: Path, share: str, day: date) -> list[tuple[Path, str]]:
    """Check a share of all products, and let the next night of their recipe make the damaged ones again.

    Args:
        out: Output root.
        share: As in `todays_share`.
        day: UTC.

    Returns:
        Every damaged product of the share and what is wrong with it.
    """
    found = []
    for product in todays_share(products_below(out), share, day):
        if reason := damage(product):
            log.warning("damaged: %s", reason)
            try:
                mark_for_redo(product, f"{DAMAGED}{reason}")
            except OSError as error:
                log.warning("%s cannot be marked to be made again: %s", product, one_line(error))
            found.append((product, reason))
    return found


@dataclass(frozen=True)
class Spare:
    """A product that may be deleted.

    Attributes:
        folder: The product's folder.
        reason: Why it may go, one line.
        size: Bytes of its files.
        forgets: Whether its scene, still in the archive, would be made again: then a record must say why not.
    """

    folder: Path
    reason: str
    size: int
    forgets: bool = False


def replaced_products(out: Path) -> Iterator[Spare]:
    """Products that were moved aside because they were damaged or made again."""
    for recipe in recipe_folders(out):
        for prefix in (REPLACED_PREFIX, DAMAGED_PREFIX):
            for folder in hidden_folders(recipe, prefix):
                yield Spare(folder, "another one has taken its place", _size(folder))


def superseded_products(out: Path, recipe: Recipe) -> Iterator[Spare]:
    """Products of other recipes at the scale of this one, whose scenes have a product of this one, too."""
    made = published_folders(recipe_folder(out, recipe.label))
    kept = {manifest_digest(product) for product in made if not redo_reason(product)} - {None}
    for folder in recipe_folders(out):
        if folder.name == recipe.label or f"-x{recipe.scale}-" not in folder.name:
            continue
        for product in published_folders(folder):
            if manifest_digest(product) in kept:
                yield Spare(product, f"{recipe.label} has a product of the same scene", _size(product))


def old_products(out: Path, days: float, now: datetime) -> Iterator[Spare]:
    """Products of scenes acquired longer ago than that; undated ones count from when they were made."""
    for product in products_below(out):
        try:
            record = read_record(product)
        except DamagedProductError as error:
            log.warning("not pruned: %s", error)
            continue
        what, since = ("acquired", record.ref.acquired) if record.ref.acquired else ("made", record.finished)
        age_days = (now - from_iso(since)).total_seconds() / 86_400
        if age_days > days:
            yield Spare(
                product, f"{what} {since[:10]}, {age_days:.0f} days ago", _size(product), forgets=True
            )


def delete(out: Path, spare: Spare) -> None:
    """Delete a product: it vanishes whole, and its scene is left alone from then on where it must be.

    Raises:
        OSError: It cannot be deleted.
    """
    if spare.forgets:
        record = read_record(spare.folder)
        reason = f"pruned: {spare.reason}; `redo` takes it again"
        # without a context it holds for every version and every rule of the archive
        kept = replace(record, status="skipped", reason=reason, product="", context="", finished=now_utc())
        write_record(out, record.recipe, kept)
    hidden = spare.folder.with_name(f"{STAGING_PREFIX}{spare.folder.name}-{uuid.uuid4().hex[:8]}")
    spare.folder.rename(hidden)
    shutil.rmtree(hidden)


def _size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
