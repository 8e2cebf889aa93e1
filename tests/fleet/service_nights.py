"""Seven nights of the one-machine service, one a minute: arrivals, a failing scene, kill -9, TERM, a restart.

    python -m tests.fleet.service_nights

Prints what it did and what every night reported, beside the state that the server tells.
"""

from __future__ import annotations

import re
import signal
import tempfile
import time
from pathlib import Path

from flows.states import MISSED
from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from tests.fleet.nightly_service import NightlyService, nightly_service
from tests.fleet.tiny import in_the_way, write_archive, write_empty_scene, write_scene
from tests.fleet.waiting import wait_for


def told(service: NightlyService, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())}  {what}", flush=True)


def show(service: NightlyService, number: int) -> None:
    """What a night reported."""
    report = service.wait_for_reports(number, within_s=200)[number - 1]
    counts = ", ".join(f"{count} {word}" for word, count in report["counts"].items() if count)
    again = f"; failed before: {len(report['failed_before'])}" if report["failed_before"] else ""
    assert report["found"] == sum(report["counts"].values())
    told(service, f"night {number}: {report['found']} found: {counts}{again}")


def nights(service: NightlyService, archive: Path) -> None:
    told(service, "start, two scenes")
    service.start()
    show(service, 1)
    write_scene(archive / "arrival.npz", 50)
    write_empty_scene(archive / "empty.npz")
    (archive / "broken.npz").write_bytes((archive / "arrival.npz").read_bytes()[:900])
    told(service, "arrive: a scene, one without a valid pixel, one cut short")
    show(service, 2)
    obstacle = in_the_way(write_scene(archive / "failing.npz", 60), archive, service.out)
    told(service, "arrives: a scene, and a file lies where its product's folder is to be")
    show(service, 3)
    obstacle.unlink()
    told(service, "that file is removed")
    write_scene(archive / "killed.npz", 70)
    told(service, "arrives: a scene; kill -9 of the service")
    service.end(signal.SIGKILL)
    wait_for(lambda: not service.behind(), within_s=30, what="its processes to go")
    told(service, "nothing of it is left; start again")
    service.start()
    show(service, 4)
    show(service, 5)
    write_scene(archive / "termed.npz", 80)
    told(
        service,
        f"arrives: a scene; TERM: exit code {service.end(signal.SIGTERM)}, left behind {service.behind()}",
    )
    time.sleep(70)
    told(service, "start again, after a night was missed")
    service.start()
    show(service, 6)
    show(service, 7)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="service-") as folder:
        archive = write_archive(Path(folder) / "archive", 2)
        with nightly_service(Path(folder), archive) as service:
            nights(service, archive)
            wait_for(lambda: service.nights()[-1].state.is_final(), within_s=60, what="the last night")
            for run in service.nights():
                began = f"{run.start_time:%H:%M:%S}"
                name = "a night" if run.state.name == MISSED else run.name
                print(f"server: {name}, began {began}, {run.state.name}: {run.state.message}")
            with service.client() as client:
                missed = [run for run in client.read_flow_runs() if run.state.name == MISSED]
            print(f"server: {len(missed)} nights missed")
            told(service, f"TERM: exit code {service.end(signal.SIGTERM)}")
            products = [
                product for recipe in service.out.glob("*-x2-*") for product in published_folders(recipe)
            ]
            for product in products:
                verify(product)
            print(f"{len(products)} products, all verified; left behind {service.behind()}")
            said = service.log.read_text()
            print(f"tracebacks in the log: {said.count('Traceback')}")
            for start in [found.start() for found in re.finditer("Traceback", said)]:
                print(said[max(start - 500, 0) : start + 3000])


if __name__ == "__main__":
    main()
