"""Arrays of a group, and the coordinates that say where and when they are."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import zarr
from zarr.errors import ZarrUserWarning

from pipeline.grid import Grid
from pipeline.products.store.georeference import coordinates, grid_mapping
from pipeline.times import from_iso, span

TIME_ATTRIBUTES = {
    "standard_name": "time",
    "long_name": "time of acquisition",
    "units_metadata": "leap_seconds: none",
}


def create_array(
    group: zarr.Group,
    name: str,
    attributes: dict[str, Any],
    *,
    like: zarr.Array[Any],
    shape: tuple[int, int] | None = None,
) -> zarr.Array[Any]:
    """A further array of the same form, and of the same shape where none is given."""
    shape = shape or cast(tuple[int, int], like.shape)
    return group.create_array(
        name,
        shape=shape,
        chunks=(min(like.chunks[0], shape[0]), min(like.chunks[1], shape[1])),
        dtype=like.dtype,
        fill_value=like.fill_value,
        compressors=like.compressors,
        dimension_names=("y", "x"),
        config={"write_empty_chunks": True},
        attributes=attributes,
    )


def write_coordinates(group: zarr.Group, grid: Grid, *, acquired: str | None) -> None:
    """Where and when the arrays of a group are: centers of pixels, reference system, time."""
    for name, (values, described) in coordinates(grid).items():
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            fill_value=np.nan,
            dimension_names=(name,),
            attributes=described,
            config={"write_empty_chunks": True},
        )
        array[:] = values
    mapping = grid_mapping(grid)
    if mapping is not None:
        _write_scalar(group, "spatial_ref", value=0, dtype="int32", described=mapping)
    if acquired is not None:
        described = {
            **TIME_ATTRIBUTES,
            "units": "seconds since 1970-01-01T00:00:00Z",
            "calendar": "standard",
        }
        bounds = [round(from_iso(end).timestamp()) for end in span(acquired)]
        if bounds[0] != bounds[1]:
            described["bounds"] = "time_bounds"
            array = group.create_array(
                "time_bounds",
                shape=(2,),
                dtype="int64",
                fill_value=0,
                dimension_names=("bounds",),
                config={"write_empty_chunks": True},
            )
            array[:] = bounds
        _write_scalar(group, "time", value=bounds[0], dtype="int64", described=described)


def _write_scalar(group: zarr.Group, name: str, *, value: int, dtype: str, described: dict[str, Any]) -> None:
    config: Any = {"write_empty_chunks": True}  # else zero would not be written: it is the fill value
    array = group.create_array(
        name, shape=(), dtype=dtype, fill_value=0, dimension_names=(), attributes=described, config=config
    )
    array[...] = value


def consolidate(group: zarr.Group) -> None:
    """Write all metadata into one file, last: an array added later would be invisible to xarray."""
    with warnings.catch_warnings():
        # Consolidated metadata is not in the v3 specification yet; without it xarray warns on every opening.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=ZarrUserWarning)
        zarr.consolidate_metadata(group.store, path=group.path)
