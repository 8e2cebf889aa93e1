"""What every view owes its reader, run over `VIEWS`: a new one is tested by being listed."""

import dataclasses
import threading

import numpy as np
import pytest

from pipeline.products.views.all_views import VIEWS
from pipeline.scene import Enhancement
from tests.products.known import make_context, make_enhancement

PLACES = ["north up", "rotated", (None, None)]


def refuse(window):
    raise AssertionError("a view computed pixels again")


def without_compute(context):
    enhancement = dataclasses.replace(context.enhancement, compute=refuse)
    return dataclasses.replace(context, enhancement=enhancement)


@pytest.fixture(scope="module", params=PLACES, ids=str)
def context(request, tmp_path_factory):
    enhancement = make_enhancement(request.param)
    return without_compute(make_context(enhancement, tmp_path_factory.mktemp("product")))


@pytest.mark.parametrize("name", VIEWS)
def test_it_writes_what_it_says_from_the_store_alone(context, name):
    before = set(context.files.folder.iterdir())
    written = VIEWS[name](context.files.store, context)
    assert written
    assert set(context.files.folder.iterdir()) - before <= set(written)
    assert all(path.stat().st_size > 0 and path.parent == context.files.folder for path in written)


@pytest.mark.parametrize("name", VIEWS)
def test_it_names_no_folder_of_this_machine(context, name):
    for path in VIEWS[name](context.files.store, context):
        assert str(context.files.folder).encode() not in path.read_bytes()


@pytest.mark.parametrize("name", VIEWS)
def test_it_says_the_same_every_time(context, name):
    first = {path: path.read_bytes() for path in VIEWS[name](context.files.store, context)}
    assert {path: path.read_bytes() for path in VIEWS[name](context.files.store, context)} == first


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (33, 2)], ids=str)
def test_it_takes_scenes_of_any_shape(tmp_path, name, shape):
    context = without_compute(make_context(make_enhancement(shape=shape, holes=False), tmp_path))
    assert VIEWS[name](context.files.store, context)


@pytest.mark.parametrize("name", VIEWS)
def test_it_takes_a_scene_without_any_data(tmp_path, name):
    enhancement = make_enhancement()
    enhancement.scene.temperature[:] = np.nan
    context = without_compute(make_context(enhancement, tmp_path))
    assert VIEWS[name](context.files.store, context)


@pytest.mark.parametrize("name", VIEWS)
def test_it_takes_a_scene_without_any_contrast(tmp_path, name):
    enhancement = make_enhancement(holes=False)
    enhancement.scene.temperature[:] = 300
    context = without_compute(make_context(enhancement, tmp_path))
    assert VIEWS[name](context.files.store, context)


@pytest.mark.parametrize("name", VIEWS)
def test_words_from_files_do_it_no_harm(tmp_path, name):
    harm = "$\\frac{a}{$ \x1b[31m \u202e 漢字 <script>alert(1)</script> =1+1 {0} %s\n"
    enhancement = make_enhancement()
    sensor = dataclasses.replace(enhancement.scene.sensor, name=harm)
    scene = dataclasses.replace(enhancement.scene, sensor=sensor, assumptions=(harm,), facts={"crs": harm})
    harmed = Enhancement(scene, 4, enhancement.compute, {"note": harm}, fallback=harm)
    context = make_context(harmed, tmp_path, tags={"run": harm}, figures={"base": harm, harm: 1.0})
    assert VIEWS[name](context.files.store, context)


@pytest.mark.parametrize("name", VIEWS)
def test_two_threads_may_use_it_at_once(tmp_path, name):
    contexts = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        contexts.append(make_context(make_enhancement(), folder))
    written = {}

    def run(context):
        written[context.files.folder.name] = [
            path.read_bytes() for path in VIEWS[name](context.files.store, context)
        ]

    threads = [threading.Thread(target=run, args=(context,)) for context in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written["0"] == written["1"]
