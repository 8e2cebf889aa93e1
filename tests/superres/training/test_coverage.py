"""Where a training looks: as foretold, so drawn."""

import numpy as np
import pytest

from pipeline.superres.training.coverage import CELLS, PARTS, coverage
from tests.superres.textures import smooth_noise
from tests.superres.training.made import SETTINGS, pairs_of


def test_parts_are_seen_as_often_as_foretold():
    settings = SETTINGS.model_copy(update={"num_scales": 1, "flips": False, "crop_px": 12, "batch": 1})
    scene = smooth_noise()
    pairs = pairs_of(scene, settings=settings)
    (level,) = pairs.levels
    height, width = level.truth.shape
    first = {float(value): divmod(place, width) for place, value in enumerate(level.truth.ravel())}
    counted, generator, draws = np.zeros((height, width)), np.random.default_rng(0), 2000
    for _ in range(draws):
        patch = pairs.batch(generator).truth[0, 0].numpy()
        row, column = first[float(patch[0, 0])]
        counted[row : row + patch.shape[0], column : column + patch.shape[1]] += 1
    told = coverage(pairs, np.ones(scene.shape, bool), draws)
    rows = ((np.arange(CELLS) + 0.5) / CELLS * height).astype(int)
    parts = counted[np.ix_(rows, rows)].reshape(PARTS, CELLS // PARTS, PARTS, CELLS // PARTS)
    np.testing.assert_allclose(told["patches_by_part"], parts.mean(axis=(1, 3)), rtol=0.1, atol=15)
    assert told["patch_coverage_fraction"] == 1


@pytest.mark.parametrize(("patches", "share"), [(0, 0.0), (10_000, 1.0)])
def test_the_share_that_is_seen_grows_with_the_patches(patches, share):
    scene = smooth_noise()
    told = coverage(pairs_of(scene), np.ones(scene.shape, bool), patches)
    assert told["patch_coverage_fraction"] == share


def test_what_has_no_data_is_seldom_seen_and_not_asked_for():
    scene, valid = smooth_noise(), np.zeros((96, 96), bool)
    valid[:, :48] = True
    told = coverage(pairs_of(scene, valid=valid), valid, 400)
    parts = np.array(told["patches_by_part"])
    assert parts[:, :3].mean() > 3 * parts[:, 6:].mean()
    assert told["patch_coverage_fraction"] > 0.9
