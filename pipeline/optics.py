"""How sharp an instrument is, said as the sigma of a Gaussian or as the contrast at the finest frequency.

The whole instrument is a Gaussian, in native pixels, and the average over the detector's square on top.
"""

from __future__ import annotations

import math

BOX_MTF_NYQUIST = 2 / math.pi  # contrast that the detector's square alone keeps at Nyquist
TYPICAL_PSF_SIGMA_PX = 0.4  # of thermal sensors whose figures are known, without the detector's square


def sigma_from_mtf(mtf_nyquist: float) -> float:
    """Sigma in native pixels of the Gaussian that, with the detector's square, leaves this contrast.

    Args:
        mtf_nyquist: Contrast of the whole instrument at Nyquist, above 0 and at most 2/pi = 0.637.

    Raises:
        ValueError: If no such Gaussian exists.
    """
    if not 0 < mtf_nyquist <= BOX_MTF_NYQUIST:
        raise ValueError(
            f"mtf_nyquist must be above 0 and at most {BOX_MTF_NYQUIST:.3f}, what the detector's square "
            f"alone keeps; got {mtf_nyquist}"
        )
    return math.sqrt(-2 * math.log(mtf_nyquist / BOX_MTF_NYQUIST)) / math.pi
