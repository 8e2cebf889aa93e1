"""What a great archive costs: an empty night, `plan`, `catalog` and `verify --quick` over many files.

    python -m tests.benchmarks.many_files [--files 100000] [--products 10000]

One small scene is really made; its product is then repeated under other names, with manifests, records and
items of their own and the large files as hard links. Every content lies in the archive under several names.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from pipeline.archive.discover import discover
from pipeline.files import digest_of
from pipeline.nights.night import DIGEST_CACHE
from pipeline.process import process_scene
from pipeline.products.layout import MANIFEST, find_product, published_folders, recipe_folder, scratch_root
from tests.fleet.tiny import cheap_settings, write_scene

ROOT = Path(__file__).parents[2]


def make_archive(folder: Path, files: int, products: int) -> dict[str, str]:
    """Names of the scenes with a product to their digests; further names are hard links to them."""
    folder.mkdir()
    scenes: dict[str, str] = {}
    content = write_scene(folder / "template.npz", 0).read_bytes()
    (folder / "template.npz").unlink()
    for number in range(files):
        day = folder / f"{number // 1000:03d}"
        day.mkdir(exist_ok=True)
        path = day / f"scene_{number:06d}.npz"
        if number < products:
            path.write_bytes(content + f"{number:08d}".encode())
            os.utime(path, (1e9, 1e9))
            scenes[str(path)] = digest_of([path])
        else:
            first = number % products
            os.link(folder / f"{first // 1000:03d}" / f"scene_{first:06d}.npz", path)
    return scenes


def repeat_product(product: Path, scenes: dict[str, str]) -> None:
    """The product once more for every scene; what names the scene is written anew, the rest are links."""
    kept = [path for path in product.iterdir() if path.suffix in (".tif", ".png")]
    texts = {path.name: path.read_text() for path in product.iterdir() if path.suffix == ".json"}
    old_digest = json.loads(texts[MANIFEST])["content_digest"]
    for path, digest in scenes.items():
        name = f"{Path(path).stem}-{digest[:8]}"
        folder = product.with_name(name)
        folder.mkdir()
        listed = {}
        for file in kept:
            target = folder / file.name.replace(product.name, name)
            os.link(file, target)
            listed[target.name] = [target.stat().st_size, ""]
        for told, text in texts.items():
            if told == MANIFEST:
                continue
            target = folder / told.replace(product.name, name)
            target.write_text(text.replace(product.name, name).replace(old_digest, digest))
            listed[target.name] = [target.stat().st_size, ""]
        manifest = {**json.loads(texts[MANIFEST]), "content_digest": digest, "files": listed}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def remember(out: Path, scenes: dict[str, str], archive: Path) -> None:
    """What an earlier night found out of every file."""
    by_inode = {Path(path).stat().st_ino: digest for path, digest in scenes.items()}
    files = {}
    for path in archive.rglob("*.npz"):
        found = path.stat()
        files[str(path)] = [found.st_size, found.st_mtime_ns, by_inode[found.st_ino], "", "npz"]
    cache = scratch_root(out) / DIGEST_CACHE
    cache.parent.mkdir(exist_ok=True)
    cache.write_text(json.dumps({"version": version("thermal-sr"), "files": files}))


def timed(words: list[str]) -> str:
    """A row of the table: wall seconds, process seconds and memory of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    wall_s = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    process_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = (done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""])[-1][:60]
    cells = [
        words[0],
        f"{wall_s:.1f}",
        f"{process_s:.1f}",
        str(after.ru_maxrss >> 10),
        str(done.returncode),
        last,
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="a folder that is kept for further runs")
    arguments = parser.parse_args()
    work = arguments.keep or Path(tempfile.mkdtemp(prefix="many-"))
    archive, out = work / "archive", work / "out"
    settings = cheap_settings(archive, out)
    if not archive.exists():
        work.mkdir(exist_ok=True)
        scenes = make_archive(archive, arguments.files, arguments.products)
        first = settings.model_copy(
            update={"archive": settings.archive.model_copy(update={"root": Path(next(iter(scenes)))})}
        )
        ref = discover(first.archive).scenes[0]
        process_scene(ref, first)
        product = find_product(out, settings.recipe.label, ref.digest)
        assert product is not None
        repeat_product(product, dict(list(scenes.items())[1:]))
        remember(out, scenes, archive)
    count = sum(1 for _ in published_folders(recipe_folder(out, settings.recipe.label)))
    print(f"{arguments.files} files, {count} products\n", flush=True)
    print("| command | s | process s | peak MiB | exit | last words |\n|---|---|---|---|---|---|")
    told = [f"--set={each}" for each in ("recipe.scale=2", "recipe.detail=none", "recipe.gate.project=false")]
    told += [
        "--set=archive.settle_s=0",
        "--set=output.chunk_px=64",
        "--set=run.device=cpu",
        "--set=run.threads=1",
    ]
    for words in (
        ["run", str(archive), str(out), *told],
        ["plan", str(archive), str(out), *told],
        ["catalog", str(out)],
        ["verify", str(out), "--quick"],
        ["ls", str(out)],
    ):
        print(timed(words), flush=True)
    if arguments.keep is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
