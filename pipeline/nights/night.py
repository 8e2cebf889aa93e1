"""What a night over an archive is to do, and why.

What is done is known from published manifests alone, and every input that was
found is in exactly one list, so the counts always add up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, StringConstraints

from pipeline.archive.discover import Discovery, discover
from pipeline.archive.product_rules import rule_identity
from pipeline.files import read_small, text_digest, write_json
from pipeline.nights.upkeep import mark_damaged
from pipeline.outcomes import set_aside
from pipeline.products import layout
from pipeline.products.publish import ASKED_FOR, DAMAGED, redo_reason
from pipeline.products.records import read_records
from pipeline.recipe import PATCH_PX, Recipe
from pipeline.recipe_files import with_checked_files
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings

log = logging.getLogger(__name__)

DIGEST_CACHE = "digests.json"
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Plan:
    """What a run would do with every file it found, and why.

    Attributes:
        todo: Scenes to process in the order of their turns, newest acquisition first within one.
        done: (scene, product folder below the output root) of scenes with this product already.
        ended: Earlier refusals and skips that still hold (same content, recipe, archive rules and version),
            and scenes that failed so often in a row that they are set aside.
        refused: (file, reason) of inputs that no reader can take, found now.
        waiting: (path, reason) of files left for a later run.
        duplicates: (path, path of the file with the same content that stands for it).
        left_out: (path, reason) of files not wanted: outside the period, too large, an older edition.
        no_scenes: How many files have names that are none of a scene's, by their ending.
        again: Why scenes of `todo` that have a product are to be done again, by scene_id.
        failed_before: What scenes of `todo` ended in the last time, where that was a failure.
    """

    todo: tuple[SceneRef, ...]
    done: tuple[tuple[SceneRef, str], ...] = ()
    ended: tuple[Record, ...] = ()
    refused: tuple[tuple[SceneRef, str], ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    no_scenes: Mapping[str, int] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)
    failed_before: tuple[Record, ...] = ()

    @property
    def found(self) -> int:
        """All inputs that were looked at."""
        groups: Sequence[Sequence[object]] = (
            self.todo,
            self.done,
            self.ended,
            self.refused,
            self.waiting,
            self.duplicates,
            self.left_out,
        )
        return sum(len(group) for group in groups) + sum(self.no_scenes.values())


def check_share(settings: Settings) -> None:
    """Check tonight's share of all products, where the settings name one; damaged ones are planned again.

    Of the shares of one archive on several machines only the first looks.
    """
    share, part = settings.run.verify_share, settings.run.shard.partition("/")[0]
    if share and part in ("", "1"):
        mark_damaged(settings.output.root, share, datetime.now(UTC).date())


def plan_night(settings: Settings) -> Plan:
    """Look through the archive and leave out what has a product or a standing refusal.

    Raises:
        SettingsError: The archive does not exist, or a file that the recipe names is not the one that it was
            when the settings were read: said once, before the night, and not of every scene.
        UnreadableInputError: The archive cannot be listed.
    """
    with_checked_files(settings.recipe)
    discovery = _discover(settings)
    out, label = settings.output.root, settings.recipe.label
    index = layout.index_products(out, label)
    records = read_records(out, label)
    standing = {
        _held(record.ref, settings): record
        for record in records
        if record.status in ("refused", "skipped") and record.context == settings.context
    }
    failed = {record.ref.digest: record for record in records if record.status == "failed"}
    standing |= {_held(each.ref, settings): each for each in failed.values() if set_aside(each, settings)}
    pruned = {
        record.ref.digest: record for record in records if record.status == "skipped" and not record.context
    }
    todo, done, ended, again = [], [], [], {}
    for ref in discovery.scenes:
        rule = rule_identity(Path(ref.files[0]), settings.archive)
        if (product := layout.find_product(out, label, ref.digest, rule=rule, index=index)) is not None:
            done.append((ref, str(product.relative_to(out))))
        elif (record := standing.get(_held(ref, settings)) or pruned.get(ref.digest)) is not None:
            ended.append(record)
        else:
            todo.append(ref)
            if (marked := layout.find_marked(out, label, ref.digest, index=index)) is not None:
                again[ref.scene_id] = redo_reason(marked)
            elif layout.find_product(out, label, ref.digest, index=index) is not None:
                again[ref.scene_id] = "what is said of it has changed since its product was made"
    refused = []
    for ref, reason in discovery.refused:
        if (record := standing.get(_held(ref, settings))) is not None:
            ended.append(record)
        else:
            refused.append((ref, reason))
    todo.sort(key=lambda ref: (ref.acquired or "", ref.scene_id), reverse=True)
    todo.sort(key=lambda ref: turn(again.get(ref.scene_id, "")))
    plan = Plan(
        todo=tuple(todo),
        done=tuple(done),
        ended=tuple(ended),
        refused=tuple(refused),
        waiting=tuple(discovery.waiting),
        duplicates=tuple(discovery.duplicates),
        left_out=tuple(discovery.left_out),
        no_scenes=dict(sorted(discovery.no_scenes.items())),
        again=again,
        failed_before=tuple(failed[ref.digest] for ref in todo if ref.digest in failed),
    )
    return share(plan, settings.run.shard, settings.archive.root) if settings.run.shard else plan


def turn(again: str) -> int:
    """When a scene's turn comes: 0 what a person or damage asks to be made again, 1 new ones, 2 the rest.

    Args:
        again: Why the scene's product is to be made again; "" where it has none.
    """
    if not again:
        return 1
    return 0 if again.startswith((ASKED_FOR, DAMAGED)) else 2


def _held(ref: SceneRef, settings: Settings) -> tuple[str, str, str]:
    """What an earlier refusal holds for: this content under this name and this rule."""
    return ref.digest, ref.scene_id, rule_identity(Path(ref.files[0]), settings.archive)


def share(plan: Plan, shard: str, root: Path) -> Plan:
    """The K-th of N shares of a plan, for shard "K/N".

    A scene's share is told by its content and another file's by its path below the archive's root, so that
    every machine draws the same shares, wherever it has the archive, and the reports of all shares add up.
    """
    part, _, parts = shard.partition("/")
    above = len(str(root.absolute())) + 1

    def mine(key: str) -> bool:
        return int(text_digest(key)[:8], 16) % int(parts) == int(part) - 1

    def mine_below(path: str) -> bool:
        return mine(path[above:] or Path(path).name)

    return Plan(
        todo=tuple(ref for ref in plan.todo if mine(ref.digest)),
        done=tuple(entry for entry in plan.done if mine(entry[0].digest)),
        ended=tuple(record for record in plan.ended if mine(record.ref.digest)),
        refused=tuple(entry for entry in plan.refused if mine(entry[0].digest)),
        waiting=tuple(entry for entry in plan.waiting if mine_below(entry[0])),
        duplicates=tuple(entry for entry in plan.duplicates if mine_below(entry[0])),
        left_out=tuple(entry for entry in plan.left_out if mine_below(entry[0])),
        no_scenes=plan.no_scenes if part == "1" else {},
        again=plan.again,
        failed_before=tuple(record for record in plan.failed_before if mine(record.ref.digest)),
    )


def _discover(settings: Settings) -> Discovery:
    """Discover with the digests of unchanged files remembered from the last time, where OUT exists."""
    cache = layout.scratch_root(settings.output.root) / DIGEST_CACHE
    known = _read_known(cache)
    discovery = discover(settings.archive, known)
    if discovery.known != known and settings.output.root.is_dir():
        try:
            files = {path: list(entry) for path, entry in discovery.known.items()}
            write_json(cache, {"version": version("thermal-sr"), "files": files})
        except OSError as error:  # a cache: the next night hashes again
            log.warning("digests are not remembered: %s", error)
    return discovery


def seen_files(out: Path) -> list[Path]:
    """Every file of scenes that the last night below an output root saw."""
    return [Path(path) for path in _read_known(layout.scratch_root(out) / DIGEST_CACHE)]


class _Remembered(BaseModel, strict=True):
    """What an earlier night found out of files that have not changed since."""

    version: str
    files: dict[str, tuple[int, int, _Digest, str | None, str]]


def _read_known(cache: Path) -> dict[str, tuple[int, int, str, str | None, str]]:
    """Nothing where there is none that can be read, or where another version of the program wrote it."""
    try:
        remembered = _Remembered.model_validate_json(read_small(cache))
    except (OSError, ValueError):
        return {}
    return remembered.files if remembered.version == version("thermal-sr") else {}


def cost_remark(recipe: Recipe) -> str:
    """What a recipe of many passes costs, to be said before it starts; "" for the whole picture at once."""
    recipe = recipe.resolved()
    infer = recipe.infer
    if recipe.detail == "none" or infer.mode == "whole":
        return ""
    patch_px = infer.patch_px or PATCH_PX[recipe.scale]
    stride_px = patch_px * (1 - (infer.overlap_fraction if "blend" in infer.mode else 0.0))
    shifts = infer.num_shift_passes if "shifts" in infer.mode else 1
    times = shifts * ((patch_px + 2 * (infer.context_px or 0)) / stride_px) ** 2
    return (
        f'recipe.infer.mode "{infer.mode}" applies the network at least {times:.1f} times as often '
        'as "whole", and takes as many times the seconds'
    )
