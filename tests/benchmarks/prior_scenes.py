"""Put the real scenes that may teach a prior into one NPZ, for `train_prior`.

python -m tests.benchmarks.prior_scenes --out scenes.npz
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import rasterio

from tests.benchmarks.scenes import SCENES, benchmark_scenes

# Landsat's 30 m grid is finer than its sensor: 100 m, 120 m and 60 m detectors.
OVERSAMPLED = {"landsat 8 B10": 1, "landsat 8 B11": 1, "landsat 5 B6": 2, "landsat 7 B6": 1}
PSF_SIGMA_PX = {"eco": 0.31}
# RADIANCE_MULT, RADIANCE_ADD, K1, K2 of the scenes' MTL files.
LANDSAT = {
    "landsat 8 B11": ("LC80400282014193LGN00_B11_crop.TIF", 3.3420e-4, 0.1, 480.89, 1201.14),
    "landsat 5 B6": ("LT05_040028_20060706_B6_crop.TIF", 5.5375e-2, 1.18243, 607.76, 1260.56),
    "landsat 7 B6": ("LE07_039028_20100702_B6_VCID_1_crop.TIF", 6.7087e-2, -0.06709, 666.09, 1282.71),
}


def site_of(name: str) -> str:
    """Scenes of one place share a site; dates and bands do not make a place new."""
    for part, site in (("eco LA", "Los Angeles"), ("NW Med", "NW Med"), ("Alboran", "Alboran")):
        if part in name:
            return site
    first, _, rest = name.partition(" ")
    return f"{first} {rest.split()[0]}" if first == "landsat" else first if first != "eco" else rest


def sensor_of(name: str) -> str:
    """A sensor's scenes are coarser truth for one another."""
    first, _, rest = name.partition(" ")
    return f"{first} {rest.split()[0]}" if first == "landsat" else first


def landsat_kelvin(file: str, gain: float, offset: float, k1: float, k2: float) -> np.ndarray:
    """Counts to brightness temperature; zero counts are no data."""
    with rasterio.open(SCENES / "landsat" / file) as source:
        counts = source.read(1).astype(np.float64)
    radiance = np.where(counts > 0, counts * gain + offset, np.nan)
    return (k2 / np.log(k1 / radiance + 1)).astype(np.float32)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    pictures = {scene.name: scene.load() for scene in benchmark_scenes()}
    pictures |= {name: landsat_kelvin(*facts) for name, facts in LANDSAT.items()}
    facts, arrays = [], {}
    for number, (name, kelvin) in enumerate(pictures.items()):
        rows, columns = (np.flatnonzero(np.isfinite(kelvin).any(axis)) for axis in (1, 0))
        kelvin = kelvin[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        arrays[f"scene_{number}"] = kelvin
        facts.append(
            {
                "name": name,
                "site": site_of(name),
                "sensor": sensor_of(name),
                "digest": hashlib.sha256(kelvin.tobytes()).hexdigest(),
                "psf_sigma_px": PSF_SIGMA_PX.get(sensor_of(name), 0.35),
                "first_octave": OVERSAMPLED.get(name, 0),
            }
        )
    np.savez_compressed(arguments.out, facts=json.dumps(facts), **arrays)
    print(f"{arguments.out}: {len(facts)} scenes, {arguments.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
