"""Keeping what was published: rot is found, said and mended; what is old is listed.

Nothing is remembered between nights: which products a night looks at follows from the day and from
their names, and what is to be made again says so itself, in a file inside the product.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from pipeline.errors import DamagedProductError
from pipeline.files import text_digest
from pipeline.products.layout import MANIFEST
from pipeline.products.publish import mark_for_redo, verify
from pipeline.text import one_line

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


def damage(product: Path) -> str:
    """Why a published product is not what its manifest says, in one line; "" for a whole one."""
    try:
        verify(product)
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
                mark_for_redo(product, f"damaged: {reason}")
            except OSError as error:
                log.warning("%s cannot be marked to be made again: %s", product, one_line(error))
            found.append((product, reason))
    return found
