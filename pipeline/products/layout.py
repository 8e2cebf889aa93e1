"""Where each product lives; `product_files` names what is inside. No path is spelled anywhere else.

    <out>/<recipe label>/<YYYY>/<MM>/<scene_id>/     a published product, complete or not there
    <out>/<recipe label>/undated/<scene_id>/         the same, where nothing tells the date
    <out>/<recipe label>/records/<scene_id>.json     scenes without a product, and why
    <out>/<recipe label>/reports/                    what each night did
    <out>/<recipe label>/<YYYY>/<MM>/.replaced-*/    products made again, .damaged-* likewise; see `prune`
    <out>/catalog.json, catalog.csv                  what is published, listed
    <out>/.scratch/                                  training checkpoints, remembered digests; may be deleted

The surprise: whether a scene is done is read from folder names. A scene_id ends in
eight digits of its content's digest, and the manifest inside has all sixty-four.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.files import first_bytes
from pipeline.scene import SceneRef
from pipeline.times import from_iso

MANIFEST = "MANIFEST.json"
RECORD = "record.json"
CATALOG = "catalog.json"
UNDATED = "undated.json"
TABLE = "catalog.csv"
SCRATCH = ".scratch"
NIGHTS = "nights"  # in it: how far the nights are that run here, and their logs
STAGING_PREFIX = ".tmp-"
DAMAGED_PREFIX = ".damaged-"
REPLACED_PREFIX = ".replaced-"
REDO = "redo.txt"  # inside a product: a line that says why it is to be made again
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,159}")
_RULE_LINE = re.compile(rb'"rule": "([0-9a-f]{8})"')
_DIGEST_LINE = re.compile(rb'"content_digest": "([0-9a-f]{64})"')


def below(out: Path, *names: str) -> Path:
    """A path below the output root, on whose way stands no link: it would lead what is written elsewhere.

    Raises:
        SettingsError: One does.
    """
    path = out
    for name in names:
        path = path / name
        if path.is_symlink():
            raise SettingsError(
                f"{path} is a link, and below OUT none is followed; remove it, or mount a folder in its place"
            )
    return path


def product_folder(out: Path, recipe_label: str, ref: SceneRef) -> Path:
    """Where the product of a scene is published."""
    return below(out, _safe(recipe_label), *_dated(ref).parts, _safe(ref.scene_id))


def make_staging_folder(final: Path) -> Path:
    """Create an empty sibling of a product's folder to build it in; only a rename away, hence atomic.

    The folder gets the permissions of any other, so that analysts can read what is published from it.
    """
    staging = final.parent / f"{STAGING_PREFIX}{final.name}-{uuid.uuid4().hex[:8]}"
    staging.mkdir(parents=True)
    return staging


def recipe_folder(out: Path, recipe_label: str) -> Path:
    """Where everything made by one recipe lies."""
    return below(out, _safe(recipe_label))


def records_folder(out: Path, recipe_label: str) -> Path:
    """Where the records of scenes without a product are kept."""
    return below(out, _safe(recipe_label), "records")


def record_path(out: Path, recipe_label: str, scene_id: str) -> Path:
    """The record of one scene without a product."""
    return records_folder(out, recipe_label) / f"{_safe(scene_id)}.json"


def reports_folder(out: Path, recipe_label: str) -> Path:
    """Where the nights' reports are kept."""
    return below(out, _safe(recipe_label), "reports")


def scratch_folder(out: Path, recipe_label: str, scene_id: str) -> Path:
    """Where a scene's training checkpoints are kept until it is published."""
    return below(out, SCRATCH, _safe(recipe_label), _safe(scene_id))


def scratch_root(out: Path) -> Path:
    """Where everything is that may be deleted at any time."""
    return below(out, SCRATCH)


def recipe_folders(out: Path) -> list[Path]:
    """Folders of all recipes under an output root, by name."""
    if not out.is_dir():
        return []
    return _visible_folders(out)


def published_folders(recipe_folder: Path, *, ending: str = "") -> Iterator[Path]:
    """Folders that hold a manifest, in one walk of a recipe's folder; those in the making are left out.

    Args:
        recipe_folder: From `recipe_folder`.
        ending: Only folders whose names end so; no other is looked into, which a network disk notices.
    """
    for year in _visible_folders(recipe_folder):
        if year.name in ("records", "reports"):
            continue
        months = [year] if year.name == "undated" else _visible_folders(year)
        for month in months:
            for product in _visible_folders(month):
                if product.name.endswith(ending) and (product / MANIFEST).is_file():
                    yield product


def index_products(out: Path, recipe_label: str) -> dict[str, tuple[Path, ...]]:
    """What is done under a recipe, for a whole night: last eight digits of scene_id to product folders."""
    index: dict[str, tuple[Path, ...]] = {}
    for product in published_folders(out / _safe(recipe_label)):
        key = product.name[-8:]
        index[key] = (*index.get(key, ()), product)
    return index


def find_product(
    out: Path,
    recipe_label: str,
    content_digest: str,
    *,
    rule: str | None = None,
    index: Mapping[str, tuple[Path, ...]] | None = None,
) -> Path | None:
    """The published product of this content under this recipe, or None; not one that is to be made again.

    Args:
        out: Output root.
        recipe_label: Name and digest of the recipe.
        content_digest: sha256 of the scene's content, hex; the manifest has to hold all of it.
        rule: Identity of the rule that it must have been made under ("" for none); None for any.
        index: From `index_products`, to walk the folders once for many scenes.
    """
    made = _products_of(out, recipe_label, content_digest, index)
    wanted = (product for product, made_under in made if rule is None or made_under == rule)
    return next((product for product in wanted if not (product / REDO).exists()), None)


def find_marked(
    out: Path, recipe_label: str, content_digest: str, *, index: Mapping[str, tuple[Path, ...]] | None = None
) -> Path | None:
    """As `find_product`, the product that is to be made again."""
    made = _products_of(out, recipe_label, content_digest, index)
    return next((product for product, _ in made if (product / REDO).exists()), None)


def _products_of(
    out: Path, recipe_label: str, content_digest: str, index: Mapping[str, tuple[Path, ...]] | None
) -> Iterator[tuple[Path, str]]:
    """Products of a content, and the identity of the rule that each was made under."""
    key = content_digest[:8]
    named = published_folders(out / _safe(recipe_label), ending=key) if index is None else index.get(key, ())
    for product in named:
        head = _manifest_head(product)
        if _digest_in(head) == content_digest:
            yield product, _rule_in(head)


def manifest_digest(product: Path) -> str | None:
    """The content digest that a product's manifest states, or None where it states none.

    Only the head is read: a large scene's manifest lists ten thousand chunks, and a night asks every product.
    """
    return _digest_in(_manifest_head(product))


def manifest_rule(product: Path) -> str:
    """Identity of the rule that a product was made under, "" where it was none."""
    return _rule_in(_manifest_head(product))


def _digest_in(head: bytes) -> str | None:
    found = _DIGEST_LINE.search(head)
    return found[1].decode() if found else None


def _rule_in(head: bytes) -> str:
    found = _RULE_LINE.search(head)
    return found[1].decode() if found else ""


def _manifest_head(product: Path) -> bytes:
    try:
        return first_bytes(product / MANIFEST, 512)
    except FileNotFoundError:
        return b""


def _dated(ref: SceneRef) -> Path:
    if ref.acquired is None:
        return Path("undated")
    acquired = from_iso(ref.acquired)
    return Path(f"{acquired.year:04d}") / f"{acquired.month:02d}"


def _safe(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no safe file name: letters, digits, dot, dash and underscore only")
    return name


def hidden_folders(recipe_folder: Path, prefix: str) -> list[Path]:
    """Folders beside products whose names begin so: in the making, or moved aside; no link is followed."""
    years = _visible_folders(recipe_folder)
    months = [
        month for year in years for month in ([year] if year.name == "undated" else _visible_folders(year))
    ]
    return [folder for month in months for folder in _folders(month) if folder.name.startswith(prefix)]


def _visible_folders(folder: Path) -> list[Path]:
    return [child for child in _folders(folder) if not child.name.startswith(".")]


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder, by name, without links."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names)]
