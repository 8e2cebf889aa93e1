"""The product itself: a Zarr store of kelvin, its standard error and its flags.

It is written tile by tile, each tile computed once and stored by the task that
computed it, so memory does not grow with the scene. The surprise: two tasks that
share a chunk would silently erase each other's pixels, hence tiles always cover
whole chunks; and a lost chunk reads as no data, hence every chunk is really written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from dask import threaded
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from pipeline.errors import DamagedProductError
from pipeline.grid import Window, names_files, tile_windows
from pipeline.memory import give_back_pages
from pipeline.products.store import attributes as about
from pipeline.products.store.arrays import consolidate, create_array, write_coordinates
from pipeline.products.store.overviews import write_overviews
from pipeline.products.store.statistics import StoreSummary, TileFigures, count_tile, summarize
from pipeline.products.store.unsharp import Unsharp, write_unsharp_mask
from pipeline.scene import FLAG_NO_DATA, Enhancement, Pixels
from pipeline.times import now_utc

Progress = Callable[[int, int], None]  # tiles done, tiles in all


def write_store(
    enhancement: Enhancement,
    path: Path,
    *,
    chunk_px: int,
    compression: int,
    tile_px: int,
    workers: int,
    progress: Progress | None = None,
    scheduler: str | Callable[..., Any] = "threads",
    created: str | None = None,
    institution: str = "",
    extra_attributes: Mapping[str, Any] | None = None,
    sharpened: Unsharp | None = None,
) -> StoreSummary:
    """Compute a sharpened scene and write it, every pixel once.

    Args:
        enhancement: The scene, not computed yet.
        path: A store that does not exist.
        chunk_px: Side of a chunk, in product pixels.
        compression: Zstandard level.
        tile_px: Side of a tile in scene pixels; rounded up until tiles cover whole chunks.
        workers: Tiles at a time; memory grows with it, not with the scene.
        progress: Called by the calling thread with tiles (done, all); never with a distributed client.
        scheduler: "threads", any other name dask knows, a distributed `Client`, or a `get` function.
        created: UTC time for the attributes, ISO 8601 with Z; now if None.
        institution: Who publishes the product.
        extra_attributes: More attributes of the store, from whoever runs the pipeline.
        sharpened: Add the variable for the eye, sharpened so much.

    Raises:
        FileExistsError: If there is something at `path`.
        ValueError: If computed pixels break the contract of `Pixels`.
    """
    grid, scene = enhancement.grid, enhancement.scene
    name = about.STANDARD_NAMES[scene.quantity]
    chunks = min(chunk_px, grid.height), min(chunk_px, grid.width)
    if path.exists():
        raise FileExistsError(f"{scene.ref.scene_id}: {path.name} exists already; a store is written once")
    group = zarr.create_group(path, zarr_format=3)
    arrays = _create_arrays(group, enhancement, chunks=chunks, compression=compression)
    windows = tile_windows(scene.grid.shape, aligned_tile_px(tile_px, chunk_px, enhancement.scale))
    tiles = _compute_tiles(
        enhancement, arrays, windows=windows, workers=workers, progress=progress, scheduler=scheduler
    )
    summary = summarize(path, name, grid.shape, chunks=chunks, tiles=tiles)
    if summary.valid_fraction > 0:
        arrays[0].attrs["actual_range"] = [summary.min_k, summary.max_k]
    write_coordinates(group, grid, acquired=scene.ref.acquired)
    if sharpened is not None:
        target = create_array(
            group, about.SHARPENED_VARIABLE, about.sharpened_attributes(enhancement), like=arrays[0]
        )
        write_unsharp_mask(arrays[0], target, sharpened)
    write_overviews(group, arrays, enhancement)
    group.attrs.update(
        about.group_attributes(
            enhancement, created=created or now_utc(), institution=institution, extra=extra_attributes or {}
        )
    )
    consolidate(group)
    check_complete(path)
    return summary


_CRS_NAMES = ("crs_wkt", "spatial_ref", "crs")  # attributes that readers of a store hand to PROJ


def open_store(path: Path) -> xr.Dataset:
    """A store as xarray sees it, lazily: pixels are read when indexed; coordinates and CRS are decoded.

    Raises:
        DamagedProductError: If its reference system names files for PROJ to open.
    """
    store: xr.Dataset = xr.open_zarr(path, decode_coords="all", chunks=None)
    told = (each.attrs.get(name, "") for each in store.variables.values() for name in _CRS_NAMES)
    if any(names_files(str(words)) for words in told):
        raise DamagedProductError(f"{path.name}: its reference system names files for PROJ to open")
    return store


def temperature_name(store: xr.Dataset) -> str:
    """Name of the temperature variable in an opened store; DamagedProductError where it has none."""
    for name in about.STANDARD_NAMES.values():
        if name in store.data_vars:
            return name
    raise DamagedProductError(f"the store holds no temperature, only {', '.join(map(str, store.data_vars))}")


def aligned_tile_px(tile_px: int, chunk_px: int, scale: int) -> int:
    """The smallest tile of at least `tile_px` scene pixels that covers whole chunks of the product."""
    step = chunk_px // math.gcd(chunk_px, scale)
    return step * math.ceil(tile_px / step)


def check_complete(path: Path) -> None:
    """Every chunk of every array is there, those of the overviews too.

    Raises:
        DamagedProductError: Naming the first chunk that is missing.
    """
    for name, array in zarr.open_group(path, mode="r").members(max_depth=None):
        if not isinstance(array, zarr.Array) or array.nchunks_initialized == array.nchunks:
            continue
        keys = [f"{name}/{key}" for key in _chunk_keys(array)]
        missing = next((key for key in keys if not (path / key).is_file()), name)
        raise DamagedProductError(f"{path.name}: chunk {missing} is missing")


def _chunk_keys(array: zarr.Array[Any]) -> Iterable[str]:
    counts = [math.ceil(size / chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
    return (array.metadata.encode_chunk_key(index) for index in np.ndindex(*counts))


def _create_arrays(
    group: zarr.Group, enhancement: Enhancement, *, chunks: tuple[int, int], compression: int
) -> tuple[zarr.Array[Any], ...]:
    """Temperature, uncertainty, flags, and what the network added where the enhancement tells it."""
    name = about.STANDARD_NAMES[enhancement.scene.quantity]
    common: dict[str, Any] = {
        "shape": enhancement.grid.shape,
        "chunks": chunks,
        "compressors": ZstdCodec(level=compression, checksum=True),
        "dimension_names": ("y", "x"),
        "config": {"write_empty_chunks": True},
    }
    kelvin = {**common, "dtype": "float32", "fill_value": np.float32("nan")}
    arrays = (
        group.create_array(name, attributes=about.temperature_attributes(enhancement), **kelvin),
        group.create_array(
            f"{name}_uncertainty", attributes=about.uncertainty_attributes(enhancement), **kelvin
        ),
        # A chunk that got lost must not read as zero, which is "good".
        group.create_array(
            about.FLAG_VARIABLE,
            attributes=about.flag_attributes(enhancement),
            dtype="uint8",
            fill_value=FLAG_NO_DATA,
            **common,
        ),
    )
    if not enhancement.tells_learned:
        return arrays
    told = about.learned_attributes(enhancement)
    return (*arrays, group.create_array(about.LEARNED_VARIABLE, attributes=told, **kelvin))


def _compute_tiles(
    enhancement: Enhancement,
    arrays: tuple[zarr.Array[Any], ...],
    *,
    windows: list[Window],
    workers: int,
    progress: Progress | None,
    scheduler: str | Callable[..., Any],
) -> tuple[TileFigures, ...]:
    """One task a tile; the scene is one node of the graph, so that it travels to a worker once."""
    shared = delayed(enhancement, name="enhancement", traverse=False)
    write = delayed(write_tile, pure=False)
    tasks = [write(shared, arrays, window) for window in windows]
    done = [0]

    def count(_key: Any, result: Any, *_: Any) -> None:
        if progress is not None and isinstance(result, TileFigures):
            done[0] += 1
            progress(done[0], len(windows))

    options: dict[str, Any] = {"scheduler": scheduler, "callbacks": [(None, None, None, count, None)]}
    if scheduler != "threads":
        return compute(*tasks, num_workers=workers, **options)  # type: ignore[no-any-return, no-untyped-call]
    # Leaving our own pool waits for running tiles, which after an error would write into a deleted folder.
    # Asked for threads by name, dask imports all of distributed first.
    options["scheduler"] = threaded.get
    with ThreadPoolExecutor(workers, thread_name_prefix="tile") as pool:
        return compute(*tasks, pool=pool, **options)  # type: ignore[no-any-return, no-untyped-call]


def write_tile(enhancement: Enhancement, arrays: tuple[zarr.Array[Any], ...], window: Window) -> TileFigures:
    """Compute one window of the scene's grid, store it, and forget its pixels."""
    pixels = enhancement.compute(window)
    fine = window.refine(enhancement.scale)
    _check_contract(enhancement.scene.ref.scene_id, pixels, fine)
    told: tuple[NDArray[Any], ...] = (pixels.temperature, pixels.uncertainty, pixels.flag)
    if pixels.learned is not None:
        told = (*told, pixels.learned)
    for array, values in zip(arrays, told, strict=True):
        array[fine.slices] = np.asarray(values)
    figures = count_tile(pixels, enhancement.scene.temperature, window, enhancement.scale)
    give_back_pages()
    return figures


def _check_contract(scene_id: str, pixels: Pixels, fine: Window) -> None:
    wanted = fine.height, fine.width
    for name, dtype in (("temperature", np.float32), ("uncertainty", np.float32), ("flag", np.uint8)):
        values: NDArray[Any] = getattr(pixels, name)
        if values.shape != wanted or values.dtype != dtype:
            raise ValueError(
                f"{scene_id}: {name} of the tile at row {fine.row}, column {fine.column} is "
                f"{values.shape} {values.dtype}, wanted {wanted} {np.dtype(dtype)}"
            )
    disagree = np.isfinite(pixels.temperature) == (pixels.flag == FLAG_NO_DATA)
    if disagree.any():
        raise ValueError(
            f"{scene_id}: {int(disagree.sum())} pixels of the tile at row {fine.row}, column {fine.column} "
            "are flagged no_data with a temperature, or the other way round"
        )
