"""What each instrument does to the picture: blur, noise, wavelength, native sample distance.

The blur is given as the Gaussian that remains when the detector's box (0.637 at
Nyquist) is taken out of the whole instrument's MTF. Assuming too narrow a blur
loses a little, too wide a one ruins the product; so where a document states a
range or only a requirement, the sharper end stands here.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

from pipeline.errors import SettingsError, UnusableInputError
from pipeline.optics import sigma_from_mtf
from pipeline.scene import Quantity, Sensor


def _sensor(name: str, gsd_m: float, mtf: float, nedt_k: float, wavelength_um: float, source: str) -> Sensor:
    return Sensor(name, gsd_m, round(sigma_from_mtf(mtf), 3), nedt_k, wavelength_um, source)


_NAN = math.nan

SENSORS: Mapping[str, Sensor] = {
    "TIRS": _sensor(
        "Landsat 8 TIRS", 100.0, 0.35, 0.05, 10.895,
        "nominal; f/1.64 optics and 25 um detectors pass 0.35 at Nyquist by diffraction alone (computed), so "
        "the whole can only be softer; NEdT about 0.05 K in flight, 0.4 K required",
    ),
    "TIRS-2": _sensor(
        "Landsat 9 TIRS-2", 100.0, 0.35, 0.06, 10.895,
        "nominal; as TIRS, with which Eon et al. 2024 (doi:10.3390/rs16061065) find it consistent in space",
    ),
    "ETM+": _sensor(
        "Landsat 7 ETM+", 60.0, 0.35, 0.22, 11.45,
        "nominal; band 6: a square-wave response of 0.35 at Nyquist required; NEdT about 0.22 K in flight",
    ),
    "TM": _sensor(
        "Landsat 4/5 TM", 120.0, 0.35, 0.30, 11.45,
        "nominal; band 6: 0.35 at Nyquist and 0.5 K required, about 0.2-0.3 K in flight",
    ),
    "ECOSTRESS": _sensor(
        "ISS ECOSTRESS", 70.0, 0.40, 0.10, _NAN,
        "nominal; 38 m x 69 m detectors averaged to 70 m, f/2 optics pass 0.43 at Nyquist by diffraction, "
        "computed, nearest-neighbor gridding on top; NEdT about 0.1 K",
    ),
    "MODIS": _sensor(
        "Terra/Aqua MODIS", 1000.0, 0.35, 0.05, _NAN,
        "nominal; NEdT 0.05 K required in bands 31 and 32; MTF 0.30 at Nyquist required, and lunar edges "
        "find every band well above its requirement",
    ),
    "VIIRS": _sensor(
        "VIIRS M-bands", 750.0, 0.35, 0.07, _NAN,
        "NOAA-20 lunar collections (doi:10.1109/tgrs.2022.3229825): 0.30 at Nyquist required, about 0.23 "
        "along scan, well above it along track; nominal NEdT: 0.07 K required in M15 and M16",
    ),
    "SLSTR": _sensor(
        "Sentinel-3 SLSTR", 1000.0, 0.35, 0.03, _NAN,
        "SLSTR user guide: bands and 1 km; nominal MTF; nominal NEdT: 0.02 K in S8 and S9, 0.05 K in S7",
    ),
    "ABI": _sensor(
        "GOES-R ABI", 2000.0, 0.35, 0.10, _NAN,
        "nominal; 0.1 K at 300 K required; MTF 0.22 at Nyquist of the 2 km grid required, more in flight",
    ),
    "AHI": _sensor(
        "Himawari AHI", 2000.0, 0.35, 0.10, _NAN,
        "nominal; the sister of ABI; bands from JMA's Himawari standard data user's guide",
    ),
    "AVHRR": _sensor(
        "NOAA/MetOp AVHRR/3", 1090.0, 0.35, 0.12, _NAN,
        "NOAA KLM user's guide: 1.09 km at nadir; ESA MetOp, AVHRR/3: NEdT 0.12 K at 300 K; "
        "nominal MTF: 0.30 required",
    ),
    "ASTER": _sensor(
        "Terra ASTER TIR", 90.0, 0.35, 0.20, _NAN,
        "ASTER Users Handbook: NEdT 0.3 K required, 0.2 K the goal; nominal MTF: above 0.2-0.25 required",
    ),
    "unknown": Sensor(
        "unknown sensor", _NAN, 0.0, _NAN, _NAN,
        "nominal; nobody knows its optics, so none are undone: assuming too wide a blur is what does harm",
    ),
}  # fmt: skip

# Centers of single thermal bands, micrometers. Sources: Landsat handbooks; GOES-R ABI band table; JMA's
# AHI table; SLSTR user guide; MODIS and ASTER specifications; VIIRS, AVHRR and ECOSTRESS user guides.
BAND_WAVELENGTHS_UM: Mapping[str, Mapping[str, float]] = {
    "TIRS": {"B10": 10.895, "B11": 12.005},
    "TIRS-2": {"B10": 10.895, "B11": 12.005},
    "ETM+": {"B6": 11.45},
    "TM": {"B6": 11.45},
    "ECOSTRESS": {"B1": 8.285, "B2": 8.785, "B3": 9.060, "B4": 10.522, "B5": 12.001},
    "MODIS": {"B20": 3.75, "B29": 8.55, "B31": 11.03, "B32": 12.02},
    "VIIRS": {"I4": 3.74, "I5": 11.45, "M14": 8.55, "M15": 10.763, "M16": 12.013},
    "SLSTR": {"S7": 3.74, "S8": 10.85, "S9": 12.0},
    "ABI": {
        "C07": 3.90, "C08": 6.185, "C09": 6.95, "C10": 7.34, "C11": 8.50,
        "C12": 9.61, "C13": 10.35, "C14": 11.20, "C15": 12.30, "C16": 13.30,
    },
    "AHI": {
        "B07": 3.9, "B08": 6.2, "B09": 6.9, "B10": 7.3, "B11": 8.6,
        "B12": 9.6, "B13": 10.4, "B14": 11.2, "B15": 12.4, "B16": 13.3,
    },
    "AVHRR": {"3B": 3.74, "4": 10.8, "5": 12.0},
    "ASTER": {"B10": 8.30, "B11": 8.65, "B12": 9.10, "B13": 10.6, "B14": 11.3},
}  # fmt: skip

_MENTIONS: Mapping[str, str] = {
    "TIRS-2": r"TIRS[-_ ]?2|Landsat[-_ ]?9|LC09",
    "TIRS": r"TIRS(?![-_ ]?2)|Landsat[-_ ]?8|LC08|LC8\d{13}\w{5}",
    "ETM+": r"ETM\+?|Landsat[-_ ]?7|LE07|LE7\d{13}\w{5}",
    "TM": r"Thematic Mapper|Landsat[-_ ]?[45]|LT0[45]|LT[45]\d{13}\w{5}",
    "ECOSTRESS": r"ECOSTRESS|ECO(?:v\d+)?_L2[TG]?|ECO2LSTE",
    "MODIS": r"MODIS|M[OY]D(?:11|21)\w*",
    "VIIRS": r"VIIRS|V(?:NP|J[12])21\w*",
    "SLSTR": r"SLSTR",
    "ABI": r"ABI",
    "AHI": r"AHI",
    "AVHRR": r"AVHRR\w*",
    "ASTER": r"ASTER|AST_08",
}
_MENTION_PATTERNS = {
    key: re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])") for key, pattern in _MENTIONS.items()
}


def sensor(key: str) -> Sensor:
    """The figures of an instrument.

    Raises:
        SettingsError: If the table does not have it; the message lists what it has.
    """
    if key not in SENSORS:
        raise SettingsError(f"no sensor {key!r}; known: {', '.join(SENSORS)}")
    return SENSORS[key]


def sensor_of_band(key: str, band: str | None, quantity: Quantity) -> Sensor:
    """The figures of an instrument, with the wavelength of one band where one is meant.

    Args:
        key: Of `SENSORS`.
        band: As the mission writes it ("B10", "C13", "S8"), or None where it is not known.
        quantity: Without a band, only a brightness temperature of an instrument with a main thermal
            band has a wavelength; a surface temperature may come from several.

    Raises:
        UnusableInputError: If the instrument has no such thermal band.
    """
    found = sensor(key)
    bands = BAND_WAVELENGTHS_UM.get(key, {})
    if band is not None:
        if band not in bands:
            raise UnusableInputError(
                f"band {band} of {found.name} is no thermal band; those are {', '.join(bands) or 'unknown'}"
            )
        return dataclasses.replace(found, wavelength_um=bands[band])
    if quantity == "brightness_temperature" or len(bands) == 1:
        return found
    return dataclasses.replace(found, wavelength_um=_NAN)


def sensor_in_text(text: str) -> str | None:
    """Key of the one instrument that a name or an attribute speaks of; None where none or several are."""
    found = [key for key, pattern in _MENTION_PATTERNS.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None
