"""NetCDF, opened as a local file and read under one lock.

The C library below is not safe with threads, so whoever touches a dataset holds
`LOCK`. Packing is undone here, in float64 and from the numbers as their author wrote
them: a float32 scale of 0.02 means 0.02, and a jitter in it would shift the grid.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import netCDF4
import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy.typing import NDArray

from pipeline.archive.bounds import refuse_bomb
from pipeline.archive.formats.classic_size import refuse_cut_short
from pipeline.archive.formats.hdf5_links import refuse_ways_out
from pipeline.archive.names import iso
from pipeline.errors import UnusableInputError
from pipeline.files import first_bytes
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

Variable: TypeAlias = "netCDF4.Variable[Any]"

LOCK = threading.RLock()
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_CDF_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_HDF4_MAGIC = b"\x0e\x03\x13\x01"
_LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)
_FILL_NAMES = ("_FillValue", "missing_value", "_Fillvalue", "_fillvalue", "fill_value")


@dataclass(frozen=True)
class Packed:
    """A variable's two-dimensional picture as it is stored.

    Attributes:
        values: (y, x) stored numbers; `_Unsigned` is undone.
        missing: (y, x) bool, true outside the variable's own valid range; None where it states none.
        scale: Temperature = number * scale + offset.
        offset: See scale.
        units: As spelled; None where missing or empty.
        fills: Stored numbers that mean no data.
    """

    values: Shaped[NDArray[np.generic], "y x"]
    missing: Bool[NDArray[np.bool_], "y x"] | None
    scale: float
    offset: float
    units: str | None
    fills: tuple[float, ...]


@contextmanager
def open_netcdf(path: Path) -> Iterator[netCDF4.Dataset]:
    """A dataset with all automatic decoding off, under the lock.

    Raises:
        UnusableInputError: If it is no NetCDF or damaged, also while it is being read.
        OSError: If storage refuses.
    """
    _check_magic(path)
    with LOCK:
        try:
            if _begins_like_hdf5(path):
                refuse_ways_out(path)
            else:
                refuse_cut_short(path)
            dataset = netCDF4.Dataset(str(path.absolute()), "r")
        except UnusableInputError:
            raise
        except OSError as error:
            raise _library_error(error) from error
        except _LIBRARY_ERRORS as error:
            raise UnusableInputError(f"is damaged NetCDF ({shortened(error, 80)})") from error
        try:
            dataset.set_auto_maskandscale(False)
            dataset.set_auto_chartostring(False)
            yield dataset
        except UnusableInputError:
            raise
        except OSError as error:
            raise _library_error(error) from error
        except _LIBRARY_ERRORS as error:
            raise UnusableInputError(f"is damaged or strange NetCDF ({shortened(error, 80)})") from error
        finally:
            dataset.close()


def is_netcdf(path: Path) -> bool:
    """Whether the file begins like NetCDF, classic or HDF5."""
    start = first_bytes(path, 8)
    return start == _HDF5_MAGIC or start[:4] in _CDF_MAGIC


def _begins_like_hdf5(path: Path) -> bool:
    return first_bytes(path, 8) == _HDF5_MAGIC


def is_hdf4(path: Path) -> bool:
    """Whether the file begins like HDF4, which no library here reads."""
    return first_bytes(path, 4) == _HDF4_MAGIC


def attributes(holder: Any) -> dict[str, Any]:
    """All attributes of a dataset or variable."""
    return {name: holder.getncattr(name) for name in holder.ncattrs()}


def text_of(attrs: Mapping[str, Any], name: str) -> str:
    """A text attribute, printable, or ""; numbers are no text."""
    value = attrs.get(name, "")
    return shortened(value.strip(), 200) if isinstance(value, str) else ""


def number_of(attrs: Mapping[str, Any], name: str, default: float) -> float:
    """A numeric attribute as its author wrote it.

    Raises:
        UnusableInputError: If it is there and no finite number.
    """
    if name not in attrs:
        return default
    value = attrs[name]
    try:
        item = np.asarray(value).reshape(-1)[0]
        number = float(str(item)) if isinstance(item, np.floating) else float(item)
    except (ValueError, TypeError, IndexError) as error:
        raise UnusableInputError(f"{name} is {shortened(value, 40)!r}, a number is wanted") from error
    if not np.isfinite(number):
        raise UnusableInputError(f"{name} is {number}, a finite number is wanted")
    return number


def variables(dataset: netCDF4.Dataset) -> dict[str, Variable]:
    """Every variable, those of groups under "group/name"."""
    found: dict[str, Variable] = dict(dataset.variables)
    waiting = [(name, group) for name, group in dataset.groups.items()]
    while waiting and len(found) < 5000:
        path, group = waiting.pop(0)
        found.update({f"{path}/{name}": variable for name, variable in group.variables.items()})
        waiting += [(f"{path}/{name}", inner) for name, inner in group.groups.items()]
    return found


def packed(variable: Variable, settings: ArchiveSettings) -> Packed:
    """The picture of a variable whose last two dimensions are rows and columns and all others of size 1.

    Raises:
        UnusableInputError: If it has other dimensions, too many pixels, no numbers, or no sensible packing.
    """
    attrs = attributes(variable)
    values = _picture(variable, settings)
    if text_of(attrs, "_Unsigned").lower() == "true" and values.dtype.kind == "i":
        values = values.view(values.dtype.str.replace("i", "u"))
    scale, offset = number_of(attrs, "scale_factor", 1.0), number_of(attrs, "add_offset", 0.0)
    if scale == 0:
        raise UnusableInputError(f"scale_factor of {shortened(variable.name)} is 0 and decodes nothing")
    return Packed(
        values,
        _outside_valid_range(values, attrs, scale, offset),
        scale,
        offset,
        text_of(attrs, "units") or None,
        _fills(attrs, values.dtype),
    )


def stored_numbers(variable: Variable, settings: ArchiveSettings) -> Shaped[NDArray[Any], ...]:
    """All numbers of a variable as they are stored.

    Raises:
        UnusableInputError: If they are no real numbers, or would take more memory than the file may.
    """
    name, kind = shortened(variable.name), variable.datatype  # of a sequence no dtype
    if not isinstance(kind, np.dtype) or kind.kind not in "iuf":
        raise UnusableInputError(f"{name} holds {shortened(kind, 30)}, real numbers are wanted")
    chunks = variable.chunking()
    chunk_bytes = 0 if isinstance(chunks, str | None) else math.prod(chunks) * kind.itemsize
    path = Path(variable.group().filepath())
    refuse_bomb(name, variable.shape, kind.itemsize, path, settings, chunk_bytes=chunk_bytes)
    return np.asarray(variable[...])


def coordinate(
    variable: Variable, settings: ArchiveSettings
) -> tuple[Float64[NDArray[np.float64], ...], float]:
    """A coordinate variable decoded in float64, and the rounding of its stored numbers."""
    attrs = attributes(variable)
    stored = stored_numbers(variable, settings)
    if text_of(attrs, "_Unsigned").lower() == "true" and stored.dtype.kind == "i":
        stored = stored.view(stored.dtype.str.replace("i", "u"))
    values = stored.astype(np.float64)
    values = values * number_of(attrs, "scale_factor", 1.0) + number_of(attrs, "add_offset", 0.0)
    slack = 0.0
    if stored.dtype.kind == "f" and values.size:
        slack = float(np.finfo(stored.dtype).eps * np.abs(values).max())
    return values, slack


def time_of(dataset: netCDF4.Dataset) -> str | None:
    """When the dataset's one time lies, ISO 8601 UTC with Z; None where it has none or several."""
    for variable in variables(dataset).values():
        attrs = attributes(variable)
        units = text_of(attrs, "units")
        is_time = text_of(attrs, "standard_name") == "time" or variable.name in ("time", "t")
        if not is_time or " since " not in units or variable.size != 1:
            continue
        number = stored_numbers(variable, ArchiveSettings()).reshape(-1)[0]
        return _moment(float(number), units, text_of(attrs, "calendar"))
    return None


def _moment(number: float, units: str, calendar: str) -> str | None:
    try:
        moments = netCDF4.num2date(
            np.array([number]), units, calendar or "standard", False, only_use_python_datetimes=True
        )
    except (ValueError, OverflowError, TypeError):
        return None
    moment = np.asarray(moments).reshape(-1)[0]
    if not isinstance(moment, datetime) or not 1970 <= moment.year < 2100:
        return None
    return iso(moment.replace(tzinfo=UTC))


def _check_magic(path: Path) -> None:
    if is_netcdf(path):
        return
    if is_hdf4(path):
        raise UnusableInputError("is HDF4, which is not read here; convert it to GeoTIFF or NetCDF first")
    start = first_bytes(path, 16)
    raise UnusableInputError(f"is no NetCDF: it begins with {shortened(start.decode('latin-1'))!r}")


def _library_error(error: OSError) -> Exception:
    """The library reports damage as OSError with a negative number; a positive one is the system's."""
    if error.errno is not None and error.errno > 0:
        return error
    return UnusableInputError(f"is damaged NetCDF ({shortened(error.strerror or error, 80)})")


def _picture(variable: Variable, settings: ArchiveSettings) -> Shaped[NDArray[np.generic], "y x"]:
    name, shape = shortened(variable.name), variable.shape
    if len(shape) < 2 or any(size != 1 for size in shape[:-2]):
        raise UnusableInputError(
            f"{name} has dimensions {shape}: one picture (y, x) a file is wanted; write each into its own"
        )
    height, width = shape[-2:]
    if height * width > settings.max_pixels:
        raise UnusableInputError(
            f"{name} has {height} x {width} pixels, archive.max_pixels allows {settings.max_pixels}"
        )
    if height < 2 or width < 2:
        raise UnusableInputError(f"{name} is {height} x {width} pixels: no picture")
    return np.asarray(stored_numbers(variable, settings)[(0,) * (len(shape) - 2)])


def _fills(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[float, ...]:
    fills: list[float] = []
    for name in _FILL_NAMES:
        if name not in attrs or isinstance(attrs[name], str):
            continue
        for item in np.asarray(attrs[name]).reshape(-1)[:8]:
            value = np.asarray(item)
            if value.dtype.kind == "i" and dtype.kind == "u" and value < 0:
                value = value.astype(dtype.str.replace("u", "i")).view(dtype)
            fills.append(float(value))
    return tuple(fills)


def _outside_valid_range(
    values: Shaped[NDArray[np.generic], "y x"], attrs: Mapping[str, Any], scale: float, offset: float
) -> Bool[NDArray[np.bool_], "y x"] | None:
    """True outside valid_range or valid_min/valid_max; limits are packed numbers, as CF has it.

    Limits of floating point on packed integers are meant unpacked: a common slip that would lose the scene.
    """
    limits: list[Any] = [attrs.get("valid_min"), attrs.get("valid_max")]
    if "valid_range" in attrs and np.size(attrs["valid_range"]) == 2:
        limits = list(np.asarray(attrs["valid_range"]).reshape(-1))
    outside: NDArray[np.bool_] | None = None
    for limit, above in zip(limits, (False, True), strict=True):
        if limit is None or isinstance(limit, str) or np.size(limit) != 1:
            continue
        bound = float(np.asarray(limit).reshape(-1)[0])
        unpacked = np.asarray(limit).dtype.kind == "f" and values.dtype.kind in "iu"
        bound = (bound - offset) / scale if unpacked else bound
        numbers: NDArray[Any] = values
        over = numbers > bound if above == (scale > 0 or not unpacked) else numbers < bound
        outside = over if outside is None else outside | over
    return outside
