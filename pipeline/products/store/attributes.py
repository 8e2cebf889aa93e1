"""What a store says about itself: CF for programs, ACDD for catalogs, provenance to check it.

The temperature has no `valid_min` or `valid_max`: programs that honor them would hide a fire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

import numpy as np
from xarray.backends.zarr import FillValueCoder

from pipeline.figures import AREA_ERRORS
from pipeline.products.store.georeference import convention_attributes, geospatial_attributes
from pipeline.scene import FLAG_MEANINGS, FLAG_NO_DATA, Enhancement, Quantity
from pipeline.text import one_line, plain_json
from pipeline.times import span

# Quantity to the CF standard name, which is also the variable's name.
STANDARD_NAMES: Mapping[Quantity, str] = {
    "brightness_temperature": "toa_brightness_temperature",
    "surface_temperature": "surface_temperature",
    "sea_surface_temperature": "sea_surface_temperature",
}
FLAG_VARIABLE = "quality_flag"
SHARPENED_VARIABLE = "sharpened"
LEARNED_VARIABLE = "detail_learned"
# xarray's own spelling of NaN in Zarr v3; a plain JSON NaN would not open, none would hide the nodata value.
_FILL_NAN = FillValueCoder.encode(float("nan"), np.dtype("float32"))


def temperature_attributes(enhancement: Enhancement) -> dict[str, Any]:
    """Of the temperature, except its range, which is known only when it has been written."""
    name = STANDARD_NAMES[enhancement.scene.quantity]
    return {
        "standard_name": name,
        "long_name": f"{name.replace('_', ' ')}, enlarged x{enhancement.scale}",
        "units_metadata": "temperature: on_scale",
        "cell_methods": "area: mean",
        "comment": "A finer grid is not a finer measurement: blurred and averaged as the sensor does it, "
        "this is the scene within its noise; finer detail is estimated.",
        "ancillary_variables": f"{name}_uncertainty {FLAG_VARIABLE}",
        "coverage_content_type": "physicalMeasurement",
        **_shared(enhancement),
    }


def uncertainty_attributes(enhancement: Enhancement) -> dict[str, Any]:
    """Of the standard error of the temperature."""
    name = STANDARD_NAMES[enhancement.scene.quantity]
    return {
        "standard_name": f"{name} standard_error",
        "long_name": f"standard error of {name.replace('_', ' ')}",
        "units_metadata": "temperature: difference",
        "comment": "Of single pixels: where it is large, from the scene's self-test one scale up; its level, "
        "from the scene's finest octaves, sure to a factor of about 1.5. Errors of neighbors are not "
        "independent: over whole scene pixels they cancel faster than independent ones would, see "
        "error_of_mean_k. What does not cancel over an area is in neither: the sensor's calibration and the "
        "retrieval's emissivity.",
        **_area_errors(enhancement),
        "coverage_content_type": "qualityInformation",
        **_shared(enhancement),
    }


def _area_errors(enhancement: Enhancement) -> dict[str, Any]:
    """Of means over areas, as far as the self-test tells: areas in scene pixels, errors in kelvin."""
    known = {area: figure.value(enhancement.figures) for area, figure in AREA_ERRORS.items()}
    told = {area: round(error, 5) for area, error in known.items() if error is not None}
    if not told:
        return {}
    return {"error_of_mean_area_scene_pixels": list(told), "error_of_mean_k": list(told.values())}


def flag_attributes(enhancement: Enhancement) -> dict[str, Any]:
    """Of the flags.

    No fill value is declared, because xarray would turn the flags into floats; `nodata` tells programs
    that clip or put together rasters what lies outside, where zero would mean good.
    """
    shared = _shared(enhancement)
    return {
        "standard_name": FLAG_VARIABLE,
        "long_name": "how far a pixel can be trusted",
        "flag_values": list(FLAG_MEANINGS),
        "nodata": FLAG_NO_DATA,
        "flag_meanings": " ".join(FLAG_MEANINGS.values()),
        "coverage_content_type": "qualityInformation",
        **{name: shared[name] for name in ("grid_mapping", "coordinates") if name in shared},
    }


def learned_attributes(enhancement: Enhancement) -> dict[str, Any]:
    """Of what the network added; a difference of temperatures, for which there is no standard name."""
    return {
        "long_name": "temperature minus the same without the network",
        "units_metadata": "temperature: difference",
        "comment": "What a network chose. The rest of the difference to bicubic follows from the sensor's "
        "blur and from the measurement.",
        "coverage_content_type": "auxiliaryInformation",
        **_shared(enhancement),
    }


def sharpened_attributes(enhancement: Enhancement) -> dict[str, Any]:
    """Of the picture for the eye: deliberately without a standard name, for it is no measurement."""
    return {
        "long_name": "unsharp-masked temperature for viewing, not for measuring",
        "coverage_content_type": "image",
        **_shared(enhancement),
    }


def group_attributes(
    enhancement: Enhancement, *, created: str, institution: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Of the whole store.

    Args:
        enhancement: The sharpened scene.
        created: UTC time of production, ISO 8601 with Z.
        institution: Who publishes; left out if empty.
        extra: More attributes, from whoever runs the pipeline (run, recipe); they win over ours.
    """
    scene, name = enhancement.scene, STANDARD_NAMES[enhancement.scene.quantity]
    files = [one_line(PurePath(file).name) for file in scene.ref.files]
    words = name.replace("_", " ")
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": f"{words} of {scene.ref.scene_id}, enlarged x{enhancement.scale}",
        "summary": f"Super-resolved {words} in kelvin from {scene.sensor.name}, "
        "with a standard error and a quality flag for every pixel.",
        "id": f"{scene.ref.scene_id}_x{enhancement.scale}",
        "keywords": f"{words}, thermal infrared, super-resolution",
        "source": f"{scene.sensor.name}: {', '.join(files)}",
        "history": f"{created} thermal-sr {version('thermal-sr')}: enlarged x{enhancement.scale} "
        f"from {files[0] if files else scene.ref.scene_id}",
        "processing_level": "derived",
        "date_created": created,
        "sr_scale_factor": enhancement.scale,
        "sr_fallback": one_line(enhancement.fallback),
        "input_files": ", ".join(files),
        "input_sha256": scene.ref.digest,
        "input_assumptions": "; ".join(one_line(text) for text in scene.assumptions),
        "software_version": version("thermal-sr"),
        "provenance": json.dumps(plain_json(enhancement.provenance), sort_keys=True),
        "georeferenced": "true" if scene.grid.georeferenced else "false",
        "georeference_source": one_line(scene.facts.get("crs", "")),
        **{name: one_line(words) for name, words in scene.edition.items()},
    }
    if institution:
        attributes["institution"] = institution
    if scene.ref.acquired is not None:
        first, last = span(scene.ref.acquired)
        attributes |= {"time_coverage_start": first, "time_coverage_end": last}
    grid = {**geospatial_attributes(enhancement.scene.grid), **convention_attributes(enhancement.grid)}
    return {**attributes, **grid, **{key: plain_json(value) for key, value in extra.items()}}


def _shared(enhancement: Enhancement) -> dict[str, Any]:
    """Units, fill value and the links to the coordinates, for every kelvin variable."""
    grid, attributes = enhancement.grid, {"units": "K", "_FillValue": _FILL_NAN}
    scalars = []
    if grid.crs_wkt is not None:
        attributes["grid_mapping"] = "spatial_ref"
        scalars.append("spatial_ref")
    if enhancement.scene.ref.acquired is not None:
        scalars.append("time")
    if scalars:
        attributes["coordinates"] = " ".join(scalars)
    return attributes
