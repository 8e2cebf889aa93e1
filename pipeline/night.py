"""A night over an archive: what is to be done, what came of it, on one page.

What is done is known from published manifests alone, and every input that was
found appears in the report exactly once, so the counts always add up.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from pipeline.archive.discover import Discovery, discover
from pipeline.files import read_small, text_digest, write_json
from pipeline.products import layout
from pipeline.products.publish import read_records, redo_reason
from pipeline.recipe import PATCH_PX, Recipe
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings
from pipeline.text import markdown_code, markdown_safe
from pipeline.times import iso_utc, now_utc
from pipeline.upkeep import mark_damaged

log = logging.getLogger(__name__)

REPORT_SCHEMA = "thermal-sr night report 1"
DIGEST_CACHE = "digests.json"
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Plan:
    """What a run would do with every file it found, and why.

    Attributes:
        todo: Scenes to process, newest acquisition first.
        done: (scene, product folder below the output root) of scenes with this product already.
        ended: Earlier refusals and skips that still hold: same content, recipe, archive rules and version.
        refused: (file, reason) of inputs that no reader can take, found now.
        waiting: (path, reason) of files left for a later run.
        duplicates: (path, path of the file with the same content that stands for it).
        left_out: (path, reason) of files that the settings leave out.
        again: Why scenes of `todo` that have a product are to be done again, by scene_id.
    """

    todo: tuple[SceneRef, ...]
    done: tuple[tuple[SceneRef, str], ...] = ()
    ended: tuple[Record, ...] = ()
    refused: tuple[tuple[SceneRef, str], ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    again: Mapping[str, str] = field(default_factory=dict)

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
        return sum(len(group) for group in groups)


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
        SettingsError: The archive does not exist.
        UnreadableInputError: The archive cannot be listed.
    """
    discovery = _discover(settings)
    out, label = settings.output.root, settings.recipe.label
    index = layout.index_products(out, label)
    standing = {
        record.ref.digest: record
        for record in read_records(out, label)
        if record.status in ("refused", "skipped") and record.context in ("", settings.context)
    }
    todo, done, ended, again = [], [], [], {}
    for ref in discovery.scenes:
        if (product := layout.find_product(out, label, ref.digest, index=index)) is not None:
            done.append((ref, str(product.relative_to(out))))
        elif (record := standing.get(ref.digest)) is not None:
            ended.append(record)
        else:
            todo.append(ref)
            if (marked := layout.find_marked(out, label, ref.digest, index=index)) is not None:
                again[ref.scene_id] = redo_reason(marked)
    refused = []
    for ref, reason in discovery.refused:
        if (record := standing.get(ref.digest)) is not None:
            ended.append(record)
        else:
            refused.append((ref, reason))
    todo.sort(key=lambda ref: (ref.acquired or "", ref.scene_id), reverse=True)
    plan = Plan(
        todo=tuple(todo),
        done=tuple(done),
        ended=tuple(ended),
        refused=tuple(refused),
        waiting=tuple(discovery.waiting),
        duplicates=tuple(discovery.duplicates),
        left_out=tuple(discovery.left_out),
        again=again,
    )
    return share(plan, settings.run.shard, settings.archive.root) if settings.run.shard else plan


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
        again=plan.again,
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


class _Remembered(BaseModel, strict=True):
    """What an earlier night found out of files that have not changed since."""

    version: str
    files: dict[str, tuple[int, int, _Digest, str | None]]


def _read_known(cache: Path) -> dict[str, tuple[int, int, str, str | None]]:
    """Nothing where there is none that can be read, or where another version of the program wrote it."""
    try:
        remembered = _Remembered.model_validate_json(read_small(cache))
    except (OSError, ValueError):
        return {}
    return remembered.files if remembered.version == version("thermal-sr") else {}


@dataclass(frozen=True)
class Report:
    """The morning page: every input of the night and how it ended.

    Attributes:
        run_id: Names this run; part of the file name.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601.
        recipe: Label of the recipe.
        records: One for each scene that this run worked on.
        plan: What had been found.
        dispatched: Scenes handed to other workers, whose records come later.
        faults: What ended the night before all scenes were run or handed out, a line each.
    """

    run_id: str
    started: str
    finished: str
    recipe: str
    records: tuple[Record, ...]
    plan: Plan
    dispatched: tuple[SceneRef, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[SceneRef, ...]:
        """Scenes that were to be done and were neither run nor handed out: the next night takes them."""
        taken = {ref.scene_id for ref in (*self.dispatched, *(record.ref for record in self.records))}
        return tuple(ref for ref in self.plan.todo if ref.scene_id not in taken)

    @property
    def counts(self) -> dict[str, int]:
        """Inputs by outcome; they sum to `found`."""
        counts = dict.fromkeys(("done", "fell back", "skipped", "refused", "failed"), 0)
        for record in self.records:
            counts[record.status] += 1
        return {
            **counts,
            "dispatched": len(self.dispatched),
            "left for the next run": len(self.left),
            "already done": len(self.plan.done),
            "ended earlier": len(self.plan.ended),
            "waiting": len(self.plan.waiting),
            "duplicates": len(self.plan.duplicates),
            "left out": len(self.plan.left_out),
        }

    @property
    def found(self) -> int:
        """All inputs that were looked at."""
        return self.plan.found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for people's tools."""
        return {
            "schema": REPORT_SCHEMA,
            "run_id": self.run_id,
            "started": self.started,
            "finished": self.finished,
            "recipe": self.recipe,
            "found": self.found,
            "counts": self.counts,
            "scenes": [record.to_json() for record in self.records],
            "dispatched": [ref.to_json() for ref in self.dispatched],
            "left": [ref.to_json() for ref in self.left],
            "faults": list(self.faults),
            "already_done": [
                {"scene_id": ref.scene_id, "product": product} for ref, product in self.plan.done
            ],
            "ended_earlier": [record.to_json() for record in self.plan.ended],
            "waiting": [{"file": path, "reason": reason} for path, reason in self.plan.waiting],
            "duplicates": [{"file": path, "same_as": other} for path, other in self.plan.duplicates],
            "left_out": [{"file": path, "reason": reason} for path, reason in self.plan.left_out],
        }


def make_report(
    run_id: str,
    started: datetime,
    settings: Settings,
    *,
    plan: Plan,
    records: Sequence[Record] = (),
    dispatched: Sequence[SceneRef] = (),
    faults: Sequence[str] = (),
) -> Report:
    """The report of a run that ends now."""
    return Report(
        run_id=run_id,
        started=iso_utc(started),
        finished=now_utc(),
        recipe=settings.recipe.label,
        records=tuple(records),
        plan=plan,
        dispatched=tuple(dispatched),
        faults=tuple(faults),
    )


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


def new_run_id() -> str:
    """Names a run: UTC time to the second and four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:4]}"


def write_report(report: Report, settings: Settings) -> Path:
    """The report as a JSON file among the recipe's reports."""
    folder = layout.reports_folder(settings.output.root, settings.recipe.label)
    return write_json(folder / f"night-{report.run_id}.json", report.to_json())


def report_markdown(report: Report, settings: Settings) -> str:
    """The report as a page for the orchestrator's artifacts."""
    counts = (
        " · ".join(f"{number} {word}" for word, number in report.counts.items() if number) or "nothing found"
    )
    lines = [f"# Night report {report.run_id}", "", f"{report.found} inputs: {counts}", ""]
    lines += [f"**The night ended early**: {markdown_safe(fault)}\n" for fault in report.faults]
    if not report.records and not report.dispatched and not report.left:
        lines.append("No new scenes.")
    for record in sorted(report.records, key=lambda record: (record.status == "done", record.ref.scene_id)):
        reason = f": {record.reason}" if record.reason else ""
        alarm = f"; alarm: {record.figures['scale_alarm']}" if record.figures.get("scale_alarm") else ""
        lines.append(f"- {markdown_code(record.ref.scene_id)} {record.status}{markdown_safe(reason + alarm)}")
    lines += [
        f"- {markdown_code(Path(path).name)} waiting: {markdown_safe(reason)}"
        for path, reason in report.plan.waiting
    ]
    lines += ["", f"Products: {markdown_code(settings.output.root / report.recipe)}"]
    return "\n".join(lines)
