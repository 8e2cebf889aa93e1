"""The notebook of the documentation runs as it stands, on the demo's products."""

import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray

from pipeline.archive.discover import discover
from pipeline.process import process_scene
from pipeline.settings_sources import load_settings
from pipeline.trials.simulate import write_demo_archive

NOTEBOOK = Path(__file__).parents[1] / "docs/first_look.ipynb"


@pytest.fixture
def demo(tmp_path, monkeypatch):
    write_demo_archive(tmp_path / ".demo/archive")
    settings = load_settings(
        assignments=[
            f"archive.root={tmp_path / '.demo/archive'}",
            f"output.root={tmp_path / '.demo/products'}",
            "archive.settle_s=0",
            "recipe.detail=none",
            "recipe.scale=2",
            "output.pages=false",
            "run.threads=1",
        ],
        environment={},
    )
    for ref in discover(settings.archive, {}).scenes:
        process_scene(ref, settings)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_cell_runs_and_says_what_is_there(demo):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict = {}
    with mpl.rc_context({"backend": "agg"}):
        for cell in cells:
            assert cell["outputs"] == []  # kept without answers: they are made where it is read
            exec("".join(cell["source"]), names)
    assert names["cube"].sizes["time"] == 3
    assert (names["kept"].values > 0.2).all()
    assert len(plt.get_fignums()) == 2
    with xarray.open_dataset(demo / "first.nc") as exported:
        np.testing.assert_array_equal(exported.surface_temperature, names["first"].surface_temperature)
    plt.close("all")
