"""Every figure that a record may hold: its name, its unit, what it means.

Record, quality card, table and catalog read them here, so a figure has one name and one unit everywhere.
The order is that of the card: what matters most comes first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.scene import FLAG_MEANINGS

Unit = Literal["K", "m", "px", "MiB", "count", "ratio", "fraction", "text"]
Value = float | str | None


@dataclass(frozen=True)
class Figure:
    """One thing that a record may say of a scene.

    Attributes:
        name: Its key in a record, a column of the table.
        unit: Of the stored number; a fraction is stored as 0 to 1 and shown in percent, "px" are pixels of
            the scene.
        meaning: What it tells, in one sentence.
        on_card: Whether the quality card lists it among its numbers.
    """

    name: str
    unit: Unit
    meaning: str
    on_card: bool = True

    @property
    def label(self) -> str:
        """The name in words, without its unit."""
        return self.name.removesuffix(f"_{self.unit.lower()}").replace("_", " ")

    def value(self, figures: Mapping[str, Value]) -> float | None:
        """The number in a record; None where it is not known."""
        found = figures.get(self.name)
        return None if found is None or isinstance(found, str) or not math.isfinite(found) else float(found)

    def text(self, figures: Mapping[str, Value]) -> str:
        """The same with four digits and its unit, or the words in a record; empty where it is not known."""
        if isinstance(words := figures.get(self.name), str):
            return words
        if (number := self.value(figures)) is None:
            return ""
        number = 100 * number if self.unit == "fraction" else number
        digits = ".4g" if abs(number) >= 1e-3 else ".1g"
        digits = ",.0f" if self.unit == "count" and number.is_integer() else digits
        return f"{number:{digits}} {_SIGNS.get(self.unit, self.unit)}".rstrip()


_SIGNS: Mapping[Unit, str] = {"fraction": "%", "ratio": "", "count": ""}

GAIN = Figure(
    "gain", "ratio", "Share of the network's detail in the product: 0 is the base alone, at most 1.5."
)
SKILL = Figure(
    "selftest_skill_vs_base", "ratio", "Share of the base's error avoided in the self-test, one scale up."
)
CALIBRATED = Figure(
    "uncertainty_calibrated",
    "ratio",
    "1 where the self-test stands behind the uncertainty, 0 where it does not.",
    on_card=False,
)
ALARM = Figure(
    "scale_alarm",
    "text",
    "Why the self-test may not hold for the published scale; empty where nothing says so.",
    on_card=False,
)
RANGE_ALARM = Figure(
    "range_alarm",
    "text",
    "How much of the scene lay outside the temperatures that its kind can hold; empty where little did.",
    on_card=False,
)
NOISE_WARNING = Figure(
    "noise_warning",
    "text",
    "Where the noise that is assumed and the noise in the pixels differ threefold; empty where they agree.",
    on_card=False,
)
WARNINGS: Mapping[Figure, str] = {ALARM: "Alarm", RANGE_ALARM: "Alarm", NOISE_WARNING: "Warning"}
AREA_ERRORS: Mapping[int, Figure] = {
    area_px: Figure(
        f"area_error_{area_px}px_k",
        "K",
        f"RMS error of means over {area_px} scene pixel{'s' if area_px > 1 else ''} in the self-test; "
        "calibration comes on top.",
        on_card=area_px in (1, 16),
    )
    for area_px in (1, 4, 16, 64)
}
NOISE = Figure("nedt_k", "K", "Standard deviation of the scene's noise, rounding included.")
DOMAIN = Figure("domain", "text", "What pixels are averaged in: kelvin or radiance.")
VALID = Figure("valid_fraction", "fraction", "Pixels of the product with data.")
MIN = Figure("min_k", "K", "Lowest temperature of the product.")
MEAN = Figure("mean_k", "K", "Mean temperature of the product.")
MAX = Figure("max_k", "K", "Highest temperature of the product.")
BLOCK_BIAS = Figure(
    "block_bias_k", "K", "Mean over the scene of: product averaged over a scene pixel minus that pixel."
)
BLOCK_RMS = Figure("block_rms_k", "K", "Root mean square of the same difference.")
LEARNED_SHARE = Figure(
    "network_share_fraction",
    "fraction",
    "Share of the product's difference to bicubic that the network chose; the sensor's blur and the "
    "measurement fix the rest.",
)
EDITION: Mapping[str, Figure] = {
    name: Figure(name, "text", meaning, on_card=False)
    for name, meaning in (
        ("day_or_night", "Day or night, by the file's name or words, else by the sun over the whole scene."),
        ("source_level", "Processing level of the file that the product was made of."),
        ("source_collection", "Collection of the mission that the file belongs to."),
        ("source_version", "Version of the mission's program that made the file."),
    )
}
DAY_OR_NIGHT, SOURCE_LEVEL, SOURCE_COLLECTION, SOURCE_VERSION = EDITION.values()
FLAGS: Mapping[int, Figure] = {
    value: Figure(
        f"flag_{flag}_fraction", "fraction", f"Pixels of the product flagged {flag}.", on_card=False
    )
    for value, flag in FLAG_MEANINGS.items()
}

_ALL = (
    GAIN,
    SKILL,
    Figure(
        "selftest_skill_vs_bicubic",
        "ratio",
        "Share of bicubic's error avoided in the self-test; more with a wider assumed blur.",
    ),
    Figure("selftest_rmse_k", "K", "RMS error of the product in the self-test."),
    Figure(
        "tiles_beating_bicubic_fraction",
        "fraction",
        "Tiles of the self-test in which the product has less error than bicubic.",
    ),
    Figure(
        "tiles_beating_base_fraction",
        "fraction",
        "Tiles of the self-test in which the product has less error than the base.",
    ),
    Figure("worst_tile_vs_bicubic", "ratio", "RMS error over that of bicubic in the self-test's worst tile."),
    Figure(
        "worst_tile_vs_base",
        "ratio",
        "RMS error over that of the base in the self-test's worst tile.",
        on_card=False,
    ),
    Figure("consistency_rmse_k", "K", "RMS of the degraded product minus the scene, over measured pixels."),
    Figure("consistency_bias_k", "K", "Mean of the degraded product minus the scene."),
    Figure(
        "uncertainty_coverage",
        "ratio",
        "Share of errors within one sigma, on tiles left out of its calibration; 0.683 is wanted.",
    ),
    CALIBRATED,
    *AREA_ERRORS.values(),
    Figure("scale_invariance", "ratio", "Detail in the finest octave over what coarser octaves foretell."),
    ALARM,
    Figure(
        "resolution_bicubic_px", "px", "Size of the finest detail that bicubic has right in the self-test."
    ),
    Figure(
        "resolution_product_px",
        "px",
        "Size of the finest detail that the product has right in the self-test, no finer than its samples.",
    ),
    Figure("resolution_product_m", "m", "The same on the ground."),
    Figure(
        "resolution_base_px",
        "px",
        "Size of the finest detail that the base has right in the self-test.",
        on_card=False,
    ),
    Figure("resolution_base_m", "m", "The same on the ground.", on_card=False),
    Figure(
        "resolution_bicubic_m",
        "m",
        "Size on the ground of the finest detail that bicubic has right.",
        on_card=False,
    ),
    LEARNED_SHARE,
    Figure(
        "gain_expected",
        "ratio",
        "The gain to expect by the prior's record, beyond x2 together with the scene's test at x2.",
    ),
    Figure("gain_fitted", "ratio", "The gain that fits the self-test best."),
    Figure("gain_error", "ratio", "Standard error of the fitted gain."),
    Figure(
        "selftest_pixels",
        "count",
        "Pixels compared in the self-test; of a large scene, a sample.",
        on_card=False,
    ),
    Figure(
        "selftest_rmse_error_k",
        "K",
        "Standard error of the self-test's RMS error, told by a large scene's sample.",
        on_card=False,
    ),
    Figure("selftest_tiles", "count", "Tiles of the self-test that fitted the gain."),
    Figure("selftest_bicubic_rmse_k", "K", "RMS error of bicubic in the self-test."),
    Figure("selftest_base_rmse_k", "K", "RMS error of the base in the self-test."),
    Figure("selftest_bias_k", "K", "Mean error of the product in the self-test."),
    DOMAIN,
    Figure("psf_sigma_px", "px", "Gaussian sigma of the optics' blur, without the detector's square."),
    Figure(
        "mtf_nyquist", "ratio", "Contrast of the whole instrument at Nyquist, where the recipe states it."
    ),
    NOISE,
    Figure(
        "nedt_estimate_k",
        "K",
        "The same by the scene's calmest places; detail as fine as a pixel counts as noise.",
    ),
    RANGE_ALARM,
    NOISE_WARNING,
    Figure("artifact_noise_k", "K", "RMS of the local noise of damaged pixels."),
    Figure("artifact_mended_k", "K", "RMS by which recipe.degrade.mend changed damaged pixels."),
    *(
        Figure(f"artifact_{kind}_fraction", "fraction", meaning, on_card=False)
        for kind, meaning in (
            ("interleaved", "Measured pixels in which two scans alternate."),
            ("stripes", "Measured pixels of rows or columns that stand out all along."),
            ("seams", "Measured pixels beside a straight line at which a picture ends."),
        )
    ),
    Figure("native_factor", "count", "Delivered pixels averaged into one, along each axis."),
    Figure("native_source", "text", "Why pixels were averaged, or why not.", on_card=False),
    Figure(
        "outside_range_pixels",
        "count",
        "Measured pixels colder than recipe.normalize.low_k or hotter than high_k (200 and 320 K); all stay.",
    ),
    Figure(
        "patch_coverage_fraction",
        "fraction",
        "Places with data that the training's patches are expected to hold once or more.",
        on_card=False,
    ),
    Figure("clipped_pixels", "count", "Measured pixels beyond the range that the recipe clips to."),
    Figure("oversampling", "ratio", "How many times finer the grid is than the detail in its spectrum."),
    Figure("consistency_p99_k", "K", "99 of 100 measured pixels are nearer to the degraded product."),
    Figure("consistency_max_k", "K", "Largest distance between the degraded product and the scene."),
    VALID,
    MIN,
    MEAN,
    MAX,
    BLOCK_BIAS,
    BLOCK_RMS,
    Figure("scene_pixels", "count", "Pixels of the scene, with data or without.", on_card=False),
    Figure("peak_memory_mib", "MiB", "Most memory that the process held meanwhile.", on_card=False),
    Figure("peak_gpu_memory_mib", "MiB", "Most memory of the GPU that was held meanwhile.", on_card=False),
    *FLAGS.values(),
    *EDITION.values(),
)
FIGURES: Mapping[str, Figure] = {figure.name: figure for figure in _ALL}
MATTER_MOST = 8  # figures that a person reads first


def matter_most(known: Mapping[str, Value]) -> list[Figure]:
    """The figures of a record that a person reads first, what matters most first."""
    return [figure for figure in FIGURES.values() if figure.on_card and figure.text(known)][:MATTER_MOST]
