"""`plan`: what a run would do with every file, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    ArchiveArgument,
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    ShardOption,
    SinceOption,
    UntilOption,
    out_console,
    print_json,
    settings_for,
)
from pipeline.text import one_line

if TYPE_CHECKING:
    from pipeline.night import Plan


def plan(
    archive: ArchiveArgument,
    out: OutArgument = Path("out"),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    shard: ShardOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do with every file, and why.

    Nothing is written but the digests that are remembered, and those only where OUT exists.
    """
    from pipeline.night import cost_remark, plan_night

    tree = settings_for(archive, out, settings, assignments, shard=shard, since=since, until=until)
    night = plan_night(tree)
    rows = _rows(night)
    if as_json:
        print_json({"recipe": tree.recipe.label, "found": night.found, "files": rows})
        return
    table = Table("file", "what happens", "why", title=f"{night.found} found, {len(night.todo)} to do")
    for row in rows:
        table.add_row(*(escape(one_line(row[name])) for name in ("file", "action", "reason")))
    out_console.print(table)
    if night.todo and (remark := cost_remark(tree.recipe)):
        out_console.print(escape(remark))


def _rows(night: Plan) -> list[dict[str, str]]:
    rows = [
        (
            ref.files[0],
            ref.scene_id,
            "process",
            night.again.get(ref.scene_id, f"new to this recipe, {ref.reader}"),
        )
        for ref in night.todo
    ]
    rows += [(ref.files[0], ref.scene_id, "leave", f"done: {product}") for ref, product in night.done]
    for record in night.ended:
        reason = f"{record.status} earlier: {record.reason}"
        rows.append((record.ref.files[0], record.ref.scene_id, "leave", reason))
    rows += [(ref.files[0], ref.scene_id, "refuse", reason) for ref, reason in night.refused]
    rows += [(path, "", "wait", reason) for path, reason in night.waiting]
    rows += [(path, "", "leave", f"same content as {Path(other).name}") for path, other in night.duplicates]
    rows += [(path, "", "leave", reason) for path, reason in night.left_out]
    names = ("path", "scene_id", "action", "reason")
    return [{"file": Path(row[0]).name, **dict(zip(names, row, strict=True))} for row in rows]
