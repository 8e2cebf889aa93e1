"""A product becomes visible whole, or not at all.

It is built in a hidden folder beside its final place; a manifest with every file's
checksum is written last, everything is flushed to the disk, and one rename makes it
public. Whoever is second finds the place taken by the same product and deletes
its own. Kill the machine at any moment: there is a complete product, or none.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioIOError

from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.files import digest_of, flush, read_small, write_bytes, write_json
from pipeline.products.layout import (
    DAMAGED_PREFIX,
    MANIFEST,
    REDO,
    REPLACED_PREFIX,
    STAGING_PREFIX,
    hidden_folders,
    manifest_digest,
    manifest_rule,
    recipe_folder,
)
from pipeline.products.schemas import parse_manifest
from pipeline.products.stac import stated_digests
from pipeline.products.store.zarr_store import check_complete
from pipeline.text import one_line
from pipeline.times import now_utc

log = logging.getLogger(__name__)

MANIFEST_SCHEMA = "thermal-sr product manifest 1"
# What a library raises that opens a store whose metadata somebody wrote by hand.
_ODD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# A replaced GeoTIFF must not make GDAL ask the network or look into other files.
_ALONE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
}
ASKED_FOR, DAMAGED = "asked for by redo", "damaged: "  # how reasons to make a product again begin
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def publish(staging: Path, final: Path, manifest_extra: Mapping[str, Any]) -> Path:
    """Write the manifest, flush everything, and make the product visible by one rename.

    Args:
        staging: From `make_staging_folder`, with all files of the product in it; gone afterwards.
        final: From `product_folder`.
        manifest_extra: What the manifest says besides the files; needs `content_digest`, and should
            name the run, the inputs, the recipe and the version of the code.

    Returns:
        The published folder, ours or the equal one of a faster publisher.

    Raises:
        DamagedProductError: If the store in the staging folder is not complete.
        OSError: If the disk refuses; nothing is visible then.
    """
    for store in staging.glob("*.zarr"):
        check_complete(store)
    stated = stated_digests(staging)  # a moment ago: no large file is read twice
    manifest = {
        "content_digest": manifest_extra["content_digest"],  # first: a night reads only the head
        "rule": manifest_extra.get("rule", ""),
        "schema": MANIFEST_SCHEMA,
        "run_id": uuid.uuid4().hex,
        "created": now_utc(),
        **manifest_extra,
        "files": {
            name: list(_flush_and_digest(staging / name, stated.get(name))) for name in _file_names(staging)
        },
    }
    for folder in (child for child in staging.rglob("*") if child.is_dir()):
        flush(folder)
    write_json(staging / MANIFEST, manifest)
    return _rename(staging, final)


def verify(product: Path, *, quick: bool = False) -> None:
    """Compare a published product with its manifest, byte by byte.

    Args:
        product: Its folder.
        quick: Compare names and sizes alone; no file but the manifest is opened.

    Raises:
        DamagedProductError: Naming the file that is missing, changed or not listed, the chunk that
            the store lacks, or the GeoTIFF that does not open.
    """
    listed = read_manifest(product)["files"]
    present = set(_file_names(product))
    for name, (size, digest) in listed.items():
        if name not in present:
            raise DamagedProductError(f"{product.name}: {name} is missing")
        path = product / name
        if path.stat().st_size != size or not (quick or digest_of([path]) == digest):
            raise DamagedProductError(f"{product.name}: {name} has changed since it was published")
    if extra := sorted(present - listed.keys()):
        raise DamagedProductError(f"{product.name}: {extra[0]} is not in the manifest")
    if quick:
        return
    for store in sorted(product.glob("*.zarr")):
        try:
            check_complete(store)
        except DamagedProductError:
            raise
        except _ODD as error:
            raise DamagedProductError(
                f"{product.name}: {store.name} is no store of ours: {one_line(error, 120)}"
            ) from error
    for path in sorted(product.glob("*.tif")):
        try:
            with rasterio.Env(**_ALONE):
                rasterio.open(path, driver="GTiff").close()
        except RasterioIOError as error:
            raise DamagedProductError(f"{product.name}: {path.name} does not open: {error}") from error


def read_manifest(product: Path) -> dict[str, Any]:
    """What a product says of itself.

    Raises:
        DamagedProductError: If there is no manifest, or none that can be read.
    """
    try:
        return parse_manifest(read_small(product / MANIFEST))
    except FileNotFoundError:
        raise DamagedProductError(f"{product.name}: {MANIFEST} is missing") from None
    except OSError as error:
        raise DamagedProductError(f"{product.name}: {MANIFEST} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DamagedProductError(f"{product.name}: {MANIFEST} {error}") from error


def mark_for_redo(product: Path, reason: str) -> None:
    """Let the next night make a published product again; until then it stays where it is, readable.

    Args:
        product: A published product's folder.
        reason: One line, kept in the product.
    """
    write_bytes(product / REDO, f"{one_line(reason)}\n".encode())


def redo_reason(product: Path) -> str:
    """Why a published product is to be made again; "" for one that is not."""
    try:
        return one_line((product / REDO).read_text(encoding="utf-8", errors="replace")) or "not said"
    except FileNotFoundError:
        return ""


def sweep(out: Path, recipe_label: str, older_than_s: float) -> list[Path]:
    """Remove what killed runs left behind under a recipe: staging folders untouched for that long.

    The age is that of the youngest thing inside, because a long run keeps writing into the depth of
    its folder. What is younger may be another worker's and stays.
    """
    removed = []
    for folder in hidden_folders(recipe_folder(out, recipe_label), STAGING_PREFIX):
        age_s = time.time() - _youngest(folder)
        if age_s > older_than_s:
            shutil.rmtree(folder, ignore_errors=True)  # another sweep may be faster
            log.info("%s: left behind %.0f s ago, removed", folder.name, age_s)
            removed.append(folder)
    return removed


def _rename(staging: Path, final: Path) -> Path:
    flush(staging)
    while True:
        try:
            staging.rename(final)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            refuse_taken(final, manifest_digest(staging))
            if reason := redo_reason(final) or _other_rule(staging, final):
                log.info("%s: replaced, %s", final.name, reason)
                _move_aside(final, REPLACED_PREFIX)
            elif _is_sound(final):
                log.info("%s: published by another run meanwhile", final.name)
                shutil.rmtree(staging)
                return final
            else:
                _move_aside(final, DAMAGED_PREFIX)
            continue
        flush(final.parent)
        return final


def refuse_taken(final: Path, content_digest: str | None) -> None:
    """Raises UnusableInputError where another content's product has this name already.

    Both have the same name and the same first eight digits of their digests, which nobody meets by chance.
    """
    other = manifest_digest(final)
    if other is not None and other != content_digest:
        raise UnusableInputError(
            f"{final.name}: another content has this name and the first digits of its digest; rename the file"
        )


def _other_rule(staging: Path, final: Path) -> str:
    same = manifest_rule(staging) == manifest_rule(final) or manifest_digest(final) is None
    return "" if same else "its rule has changed"


def _is_sound(product: Path) -> bool:
    try:
        verify(product)
    except DamagedProductError as error:
        log.warning("damaged product is replaced: %s", error)
        return False
    except FileNotFoundError:  # moved aside by another publisher while we looked
        return False
    return True


def _move_aside(product: Path, prefix: str) -> None:
    aside = product.with_name(f"{prefix}{product.name}-{uuid.uuid4().hex[:8]}")
    try:
        product.rename(aside)
    except FileNotFoundError:
        return


def _file_names(folder: Path) -> Iterator[str]:
    """Relative names of all files but manifest and mark, sorted; a link would point out of the product."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise DamagedProductError(f"{folder.name}: {path.relative_to(folder)} is a link")
        if path.is_file() and path not in (folder / MANIFEST, folder / REDO):
            yield path.relative_to(folder).as_posix()


def _flush_and_digest(path: Path, stated: str | None) -> tuple[int, str]:
    flush(path)
    return path.stat().st_size, stated or digest_of([path])


def _youngest(folder: Path) -> float:
    """Time of the last change inside, seconds since the epoch; 0 for what is gone."""
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)
