"""One scene as a Prefect flow: names and records cross, pixels never.

There is one task and not one for each stage, because pixels would be pickled at
each border. The manifest, not a cache, says what is done.
"""

from __future__ import annotations

import base64
import io
import re
import threading
from pathlib import Path
from typing import Any

from PIL import Image
from prefect import Flow, flow, tags, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from flows.progress import SceneProgress, server_may_be_away
from flows.states import left_state, reason_of, scene_state
from flows.stopping import StoppedError
from flows.tags import scene_name, scene_tags
from pipeline.errors import UnreadableInputError
from pipeline.outcomes import failed_record
from pipeline.process import process_scene
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings
from pipeline.text import markdown_code, markdown_safe

PICTURE_PX = 1024


def _worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether to try once more: storage may recover in a minute, a bug or a full disk does not."""
    return isinstance(state.result(raise_on_failure=False), UnreadableInputError)


@task(
    name="sharpen",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_jitter_factor=0.3,
    retry_condition_fn=_worth_another_try,
)
def sharpen(ref: SceneRef, settings: Settings) -> Record:
    """All of one scene on one device."""
    with SceneProgress(ref.scene_id, artifact_key("progress", ref)) as progress:
        record = process_scene(ref, settings, progress=progress)
        progress.ended(record.status)
    return record


def _keep_the_reason(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Leave a record beside the products, because on a pool nobody waits for a run that fails."""
    ref, settings = SceneRef.from_json(flow_run.parameters["ref"]), flow_run.parameters["settings"]
    failed_record(ref, Settings.model_validate(settings), reason_of(state))


def _name() -> str:
    return scene_name(SceneRef.from_json(flow_run.parameters["ref"]))


@flow(
    name="scene",
    flow_run_name=_name,
    persist_result=False,
    validate_parameters=False,
    on_failure=[_keep_the_reason],
)
def scene(ref: dict[str, Any], settings: dict[str, Any]) -> State[Any]:
    """Sharpen one scene; safe to run any number of times.

    Args:
        ref: `SceneRef.to_json()`.
        settings: `Settings.model_dump(mode="json")`.

    Returns:
        A state whose name tells how it ended (see `flows.states`), and whose result is `Record.to_json()`.
    """
    reference, tree = SceneRef.from_json(ref), Settings.model_validate(settings)
    if (flow_run.run_count or 1) > tree.run.max_attempts:
        reason = f"its run was ended {tree.run.max_attempts} times before it was done; see the workers' logs"
        return scene_state(failed_record(reference, tree, reason))
    try:
        # Beside the clock of the stages; in another thread Prefect could not end it, and warns each time.
        limit_s = tree.run.limit_s if threading.current_thread() is threading.main_thread() else 0.0
        bounded = sharpen.with_options(retries=tree.run.retries, timeout_seconds=limit_s or None)
        with tags(*scene_tags(reference, tree)):  # a server may limit how many of a tag run at a time
            record: Record = bounded(reference, tree)
    except StoppedError as error:
        return left_state(str(error))
    with server_may_be_away(f"{reference.scene_id}: report"):
        create_markdown_artifact(key=artifact_key("scene", reference), markdown=scene_markdown(record))
        if record.product:
            picture = picture_address(tree.output.root / record.product / "comparison.png")
            create_image_artifact(image_url=picture, key=artifact_key("comparison", reference))
    return scene_state(record)


def artifact_key(kind: str, ref: SceneRef) -> str:
    """A stable key in the letters that Prefect allows: lowercase letters, digits and dashes."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', ref.scene_id.lower()).strip('-')}"


def picture_address(path: Path) -> str:
    """A picture as an address that holds the picture itself, small enough for a database."""
    small = io.BytesIO()
    with Image.open(path) as picture:
        picture.thumbnail((PICTURE_PX, PICTURE_PX))
        picture.convert("RGB").save(small, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def scene_markdown(record: Record) -> str:
    """What the server's page of a scene says; words from files are shown letter for letter."""
    title = markdown_safe(record.ref.scene_id)
    lines = [f"# {title}", "", f"**{record.status}** {markdown_safe(record.reason)}".strip(), ""]
    if record.figures:
        lines += ["| figure | value |", "| --- | --- |"]
        lines += [
            f"| {markdown_safe(name)} | {markdown_safe(value)} |" for name, value in record.figures.items()
        ]
        lines.append("")
    if record.product:
        lines.append(f"Product: {markdown_code(record.product)}")
    return "\n".join(lines)
