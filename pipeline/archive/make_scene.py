"""A scene, put together from what its file, its product and its owner say.

Whoever is more explicit wins: a person's rule, then the product's profile, then the
file's own words, then its name. Which of them decided is kept in `Scene.facts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.archive.decode import Stored, decode
from pipeline.archive.edition import edition_of
from pipeline.archive.placement import Placement, gsd_m, make_grid
from pipeline.archive.plausible import keep_plausible
from pipeline.archive.product_rules import product_rule
from pipeline.archive.sensors import BAND_WAVELENGTHS_UM, sensor_in_text, sensor_of_band
from pipeline.scene import Quantity, Scene, SceneRef
from pipeline.settings import ArchiveSettings, ProductRule
from pipeline.text import shortened


@dataclass(frozen=True)
class Profile:
    """What is known of a product beyond its numbers.

    Attributes:
        source: Where that is known from: "product profile", "attributes".
        sensor: Key of the sensor table, or None.
        band: The thermal band, as the mission writes it, or None.
        quantity: What the temperature is of, or None.
        words: What the file says of itself, by name: attributes, tags, the MTL's keys.
    """

    source: str
    sensor: str | None = None
    band: str | None = None
    quantity: Quantity | None = None
    words: Mapping[str, str] = field(default_factory=dict)


def make_scene(
    ref: SceneRef, stored: Stored, placement: Placement, profile: Profile, settings: ArchiveSettings
) -> Scene:
    """Decoded, placed and labeled.

    Raises:
        UnusableInputError: If the numbers are no temperature or the grid is nowhere.
        SkippedSceneError: If no pixel holds data.
    """
    rule = product_rule(Path(ref.files[0]), settings)
    kelvin = decode(stored.with_rule(rule), strict=settings.strict)
    shape = kelvin.temperature.shape
    grid, placement = make_grid(placement.with_rule(rule, shape), shape, settings)
    quantity, quantity_source = _quantity(rule, profile)
    key, band, sensor_source = _sensor(rule, profile, Path(ref.files[0]))
    picture = f"{stored.variable} {profile.words.get('long_name', '')}"
    edition, told_by = edition_of(Path(ref.files[0]).stem, picture, profile.words, grid, ref.acquired)
    facts = {
        **kelvin.facts,
        **told_by,
        "reader": ref.reader,
        "crs": placement.crs_source or "none",
        "transform": placement.transform_source or "none",
        "quantity": quantity_source,
        "sensor": sensor_source,
    }
    sensor = sensor_of_band(key, band, quantity)
    outside = keep_plausible(kelvin.temperature, quantity, sensor.wavelength_um, rule, settings)
    unsure = []
    if quantity_source == "assumed":
        unsure.append("quantity assumed: surface temperature")
    if key == "unknown":
        unsure.append(f"sensor unknown, blur assumed: sigma {sensor.psf_sigma_px:g} pixels")
    if key == "unknown" and ref.acquired is not None:  # the products of known sensors state UTC
        unsure.append("time zone assumed where the file tells none: UTC")
    return Scene(
        ref=ref,
        sensor=sensor,
        quantity=quantity,
        grid=grid,
        temperature=np.ascontiguousarray(kelvin.temperature),
        gsd_m=gsd_m(placement.crs, placement.transform, grid.shape),
        quantization_k=kelvin.quantization_k,
        facts={name: shortened(words) for name, words in facts.items()},
        assumptions=(*kelvin.assumptions, *outside, *placement.assumptions, *unsure),
        edition=edition,
    )


def _quantity(rule: ProductRule | None, profile: Profile) -> tuple[Quantity, str]:
    if rule is not None and rule.quantity is not None:
        return rule.quantity, f"[[archive.products]] {rule.pattern}"
    if profile.quantity is not None:
        return profile.quantity, profile.source
    return "surface_temperature", "assumed"


def _sensor(rule: ProductRule | None, profile: Profile, path: Path) -> tuple[str, str | None, str]:
    """Key, band and source of the sensor's figures."""
    if rule is not None and rule.sensor is not None:
        band = profile.band if profile.band in BAND_WAVELENGTHS_UM.get(rule.sensor, {}) else None
        return rule.sensor, band, f"[[archive.products]] {rule.pattern}"
    if profile.sensor is not None:
        return profile.sensor, profile.band, profile.source
    if (named := sensor_in_text(path.stem)) is not None:
        return named, None, "file name"
    return "unknown", None, "nothing tells it"
