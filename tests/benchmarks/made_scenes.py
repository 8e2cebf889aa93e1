"""Made scenes as further teachers of a prior: dead leaves, and fractal ground with edges.

`python -m tests.benchmarks.train_prior OUT --keep DIR --made` teaches them beside the real ones. They are
made on a grid twice as fine and come through a sensor's optics, as real ones do (`octaves`).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.superres.prior.prior_pairs import PriorScene

SIDE_PX = 1024  # halved once
SCENES_OF_A_KIND = 6
LEAF_PX = (3.0, 400.0)  # radius; as many of a radius as its power of -3 (Lee, Mumford, Huang 2001)
LEAVES = 30000
SLOPES = (1.1, 2.2)  # of amplitude over frequency; those that the base finds on real scenes
PSF_SIGMA_PX = 0.35


def made_scenes(seed: int = 0) -> list[PriorScene]:
    """Each kind is a place: leaves, leaves with texture, ground, ground with coasts."""
    kinds = {"leaves": (1.0, 0.0), "textured leaves": (1.0, 0.6), "ground": (0.0, 1.0), "coasts": (-1.0, 1.0)}
    return [
        _scene(kind, number, *shares, np.random.default_rng([seed, place, number]))
        for place, (kind, shares) in enumerate(kinds.items())
        for number in range(SCENES_OF_A_KIND)
    ]


def _scene(
    kind: str, number: int, edges: float, texture: float, generator: np.random.Generator
) -> PriorScene:
    picture = 0.5 * fractal(2.0, generator) + texture * fractal(generator.uniform(*SLOPES), generator)
    if edges > 0:
        picture += edges * dead_leaves(generator)
    elif edges < 0:  # each side of a coast has a level and a roughness of its own
        land = fractal(generator.uniform(1.6, 2.2), generator) > generator.normal(0, 0.5)
        picture = np.where(land, picture + generator.normal(0, 2), generator.uniform(0.1, 0.6) * picture)
    kelvin = (295 + 4 * picture).astype(np.float32)
    name = f"made {kind} {number}"
    return PriorScene(name, f"made {kind}", "made", "0" * 64, kelvin, PSF_SIGMA_PX, first_octave=1)


def fractal(slope: float, generator: np.random.Generator) -> np.ndarray:
    """(y, x) ground whose amplitude falls as a power of frequency; mean 0, standard deviation 1."""
    rows, columns = np.fft.fftfreq(SIDE_PX)[:, None], np.fft.rfftfreq(SIDE_PX)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(generator.normal(size=(SIDE_PX, SIDE_PX)))
    picture = np.fft.irfft2(white * frequency**-slope, s=(SIDE_PX, SIDE_PX))
    return picture / picture.std()


def dead_leaves(generator: np.random.Generator) -> np.ndarray:
    """(y, x) discs and turned rectangles, each over the earlier ones; mean 0, standard deviation 1."""
    picture = fractal(2.0, generator)
    share = generator.random(LEAVES)
    radii = (LEAF_PX[0] ** -2 + share * (LEAF_PX[1] ** -2 - LEAF_PX[0] ** -2)) ** -0.5
    for radius in radii:
        row, column = generator.uniform(0, SIDE_PX, size=2)
        first = [max(int(center - 1.5 * radius), 0) for center in (row, column)]
        last = [min(int(center + 1.5 * radius) + 1, SIDE_PX) for center in (row, column)]
        y = np.arange(first[0], last[0])[:, None] - row
        x = np.arange(first[1], last[1])[None] - column
        level = generator.normal()
        if generator.random() < 0.5:
            inside = np.hypot(y, x) < radius
        else:
            angle, aspect = generator.uniform(0, np.pi), generator.uniform(0.2, 1.0)
            along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
            across = np.abs(np.cos(angle) * y - np.sin(angle) * x)
            inside = (along < radius) & (across < aspect * radius)
        picture[first[0] : last[0], first[1] : last[1]][inside] = level
    picture = gaussian_filter(picture, 0.5)
    return (picture - picture.mean()) / picture.std()
