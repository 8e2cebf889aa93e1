"""What many tests share."""

from pathlib import Path

import netCDF4  # noqa: F401  sets HDF5_PLUGIN_PATH when it is first imported, which no test file should
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

import flows  # noqa: F401  sets the environment for Prefect and GDAL, which no test file should be the first to do
from tests.leftovers import mark_processes, nothing_left

ROOT = Path(__file__).parents[1]

# Types and shapes in signatures are checked at every call while the tests run, in the modules that state
# shapes; an int may stand for a float. Before anything of ours is imported: that would stay unchecked.
CHECKED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
    if "from jaxtyping import" in path.read_text()
]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# A busy machine is no failure: properties are judged by what they say, not by how fast.
# The same examples every time, so that a red run is the change's and not the draw's; fresh ones are for
# whoever looks for trouble: `pytest --hypothesis-profile=explore`.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")

mark_processes()

SPREAD_OVER = 0.7  # of the files that compute
REAL_SCENES = ROOT / ".." / "shared" / "scenes"


@pytest.fixture(scope="session")
def real_scenes():
    """Folder of real scenes beside the project; the test is skipped where it is absent."""
    if not REAL_SCENES.is_dir():
        pytest.skip("no real scenes: ../shared/scenes is absent")
    return REAL_SCENES.resolve()


@pytest.fixture(autouse=True)
def one_torch_thread():
    """Test scenes are small: a second thread costs more than it brings, ten times more on a busy machine.

    A scene that is processed sets the number for its whole process, so it is set anew before each test.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def no_leftovers():
    """No test file leaves a thread, a process, a listening socket or an environment variable behind."""
    torch.set_num_threads(1)
    with nothing_left():
        yield


def pytest_collection_modifyitems(items):
    """Put files that mostly wait for other processes among those that compute, so that both go on at once.

    None of them comes among the last files, where the other processes of the run would wait for it alone.
    """
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if {"fleet", "flows"} & set(path.parts)]
    computing = [path for path in files if path not in set(waiting)]
    apart = SPREAD_OVER * len(computing) / max(len(waiting), 1)
    place = {path: number for number, path in enumerate(computing)}
    place |= {path: number * apart for number, path in enumerate(waiting)}
    items[:] = [item for path in sorted(files, key=place.__getitem__) for item in files[path]]
