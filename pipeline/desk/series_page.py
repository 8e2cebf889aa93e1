"""Values along time as one page: a chart with errors that opens from the disk and loads nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from pipeline.page_frame import fill_page
from pipeline.text import one_line

_REMARKS = {"flag_meaning": "flag", "assumption": "what the error leans on"}


def series_page(found: xr.Dataset, *, title: str, about: str) -> str:
    """The page of what `values_at` or `mean_over` found, as text.

    Args:
        found: One of both.
        title: Where the values are of.
        about: Products and masks, in words.
    """
    kelvin = "kelvin" if "kelvin" in found else "mean_k"
    remark = next(name for name in _REMARKS if name in found)
    rows = [_row(found.isel(time=date), kelvin, remark) for date in range(found.sizes["time"])]
    rows.sort(key=lambda row: row["time"] or "9999")
    data = {"title": one_line(title), "about": one_line(about), "remark": _REMARKS[remark], "rows": rows}
    return fill_page("pipeline.desk", "series_page", title=title, data=data, library="uplot")


def _row(date: xr.Dataset, kelvin: str, remark: str) -> dict[str, Any]:
    """A date as plain JSON; None for what is not known."""
    moment = date.time.values.astype("datetime64[s]")
    undated = bool(np.isnat(moment))
    return {
        "time": None if undated else f"{moment}Z",
        "time_s": None if undated else int(moment.astype(np.int64)),
        "kelvin": _number(date[kelvin]),
        "error_k": _number(date.error_k),
        "remark": one_line(str(date[remark].item()).replace("_", " ")),
        "resampled": bool(date.resampled),
        **{name: one_line(date[name].item()) for name in ("scene_id", "day_or_night")},
    }


def _number(value: xr.DataArray) -> float | None:
    number = float(value)
    return round(number, 4) if math.isfinite(number) else None
