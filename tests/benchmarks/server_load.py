"""How many scene runs a Prefect server takes from how many clients at once, and how long they wait for it.

    python -m tests.benchmarks.server_load --runs 200 --clients 16 --database postgres

The runs are the real scene flow over scenes without a valid pixel: everything that a worker says to
the server, and next to no science. Postgres is started here and stopped again; its package is
installed where it is missing and root may.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from pipeline.nights.night import plan_night
from pipeline.scene import SceneRef
from pipeline.settings import Settings
from tests.fleet.postgres import postgres
from tests.fleet.prefect_server import prefect_server
from tests.fleet.tiny import cheap_settings

ROOT = Path(__file__).parents[2]


def write_empty_archive(folder: Path, scenes: int) -> Path:
    """Different scenes, none with a valid pixel."""
    folder.mkdir()
    for number in range(scenes):
        nothing = np.full((16, 16), np.nan, np.float32)
        np.savez(folder / f"empty_{number:04d}.npz", temperature=nothing, meta=json.dumps({"number": number}))
    return folder


def client(work: Path, number: int) -> None:
    """One worker's share, run after run; a JSON line for each."""
    share = json.loads((work / f"client-{number}.json").read_text())
    from flows.scene import scene

    while not (work / "go").exists():  # all begin together, imports done
        time.sleep(0.05)
    for ref in share["refs"]:
        start = time.monotonic()
        state = scene(ref, share["settings"], return_state=True)
        print(json.dumps({"seconds": time.monotonic() - start, "state": state.name}), flush=True)


def measure(work: Path, settings: Settings, clients: int, environment: dict[str, str]) -> dict[str, object]:
    """Let the clients run all scenes, and count."""
    todo: tuple[SceneRef, ...] = plan_night(settings).todo
    plain = settings.model_dump(mode="json")
    running = []
    for number in range(clients):
        refs = [ref.to_json() for ref in todo[number::clients]]
        (work / f"client-{number}.json").write_text(json.dumps({"refs": refs, "settings": plain}))
        command = [sys.executable, "-m", "tests.benchmarks.server_load", "--client", str(number), str(work)]
        log = (work / f"client-{number}.log").open("w")
        env = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
        running.append(
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        )
    time.sleep(30)
    start = time.monotonic()
    (work / "go").touch()
    rows = [json.loads(line) for process in running for line in process.communicate()[0].splitlines()]
    elapsed_s = time.monotonic() - start
    seconds = sorted(row["seconds"] for row in rows)
    return {
        "runs": len(todo),
        "completed": sum(row["state"] == "Completed" for row in rows),
        "clients that failed": sum(process.returncode != 0 for process in running),
        "runs/s": round(len(rows) / elapsed_s, 2),
        "median s": round(statistics.median(seconds), 2),
        "95 % s": round(seconds[int(0.95 * len(seconds))], 2),
        "worst s": round(seconds[-1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--database", nargs="+", choices=["postgres", "sqlite"], default=["postgres"])
    parser.add_argument(
        "--client", nargs=2, metavar=("NUMBER", "FOLDER"), help="used by the benchmark itself"
    )
    options = parser.parse_args()
    if options.client:
        client(Path(options.client[1]), int(options.client[0]))
        return
    for database in options.database:
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
            work.chmod(0o755)
            told = {}
            if database == "postgres":
                address = stack.enter_context(postgres(work / "postgres"))
                told = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address}
            server = stack.enter_context(prefect_server(work / "server", told))
            archive = write_empty_archive(work / "archive", options.runs)
            settings = cheap_settings(archive, work / "out")
            row = {"database": database, "clients": options.clients}
            row |= measure(work, settings, options.clients, dict(server.client))
            row["errors in the server's log"] = (server.home / "server.log").read_text().count("| ERROR")
            print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
