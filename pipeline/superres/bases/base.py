"""What the network adds to: enlargements that need no learning.

Bicubic, back-projected, Tikhonov. They treat every LR pixel alike, so each is one finite
filter with known reach, exact on tiles. The surprise: knowing the sensor's blur and using
it here is most of what super-resolution of a thermal scene can win.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pipeline.raster import in_bands, thinned
from pipeline.superres.bases.filters import back_projection_filter, cubic_phases, tikhonov_filter
from pipeline.superres.bases.hot_spots import Spots, find_spots
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.nested_grids import (
    Picture,
    as_tensor,
    interpolate,
    interpolate_plane,
    like,
    reference_k,
    smooth,
    smooth_radius,
)
from pipeline.superres.sensing.spectrum import fit_power_law

BASES = ("bicubic", "back_projected", "tikhonov")
SMALLEST_NOISE_K = 3e-4  # float32 at 300 K holds no more
USUAL_LAMBDA, MAX_LAMBDA = 1e-3, 3.0
LOUDER = 16.0  # lambda of the smoothest filter over that of the mean one; of that over the sharpest
CALM_SIGMA_PX, AROUND_SIGMA_PX = 0.7, 1.5
POWER_REACH_PX = smooth_radius(CALM_SIGMA_PX) + smooth_radius(AROUND_SIGMA_PX)
UNSURE = 1.0  # standard deviation of the local power of white noise, in units of its mean
EXPONENT = 0.8  # how lambda follows the power of detail; measured, 1 in theory


@dataclass(frozen=True)
class Activity:
    """How rough a pixel's surroundings are; under noise, calm ones are smoothed more.

    Attributes:
        noise: Power that noise alone leaves in the high-passed scene, in squared units of the scene.
        detail: Mean power of detail in the high-passed scene, noise taken off.
    """

    noise: float
    detail: float
    reach_px = 11  # of the two smoothings and the bicubic enlargement together

    def steps(self, tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """(..., y, x) steps by which lambda is above (+) or below (-) that of the scene, within -1 and 1."""
        # Noise makes the local power uncertain by a part of its own; that much is added to both sides.
        unsure = UNSURE * self.noise
        detail = ((detail_power(tensor) - self.noise).clamp_min(0) + unsure) / (self.detail + unsure)
        return (torch.log(detail) * (-EXPONENT / math.log(LOUDER))).clamp(-1, 1)


@dataclass(frozen=True)
class Base:
    """An enlargement: (..., y, x) to (..., scale*y, scale*x), numpy or torch, float32, no NaN.

    Attributes:
        name: One of `BASES`.
        kernels: (n, scale, scale, width, width) weights: filters from sharp to smooth; phases along y
            and x; LR neighbors along y and x.
        activity: Decides between the filters, pixel by pixel; None where there is one.
        spots: Takes out what is too hot for a filter; None in an ordinary scene.
        regularization: Tikhonov's lambda and exponent p, or nothing.
    """

    name: str
    kernels: NDArray[np.float32]
    activity: Activity | None = None
    spots: Spots | None = None
    regularization: tuple[float, ...] = ()

    @property
    def scale(self) -> int:
        """Linear enlargement."""
        return int(self.kernels.shape[1])

    @property
    def reach_px(self) -> int:
        """How far one LR pixel can change the answer, in LR pixels."""
        filters = max(
            int(self.kernels.shape[-1] // 2), 0 if self.activity is None else self.activity.reach_px
        )
        return filters + (0 if self.spots is None else self.spots.reach_px)

    @property
    def slope(self) -> float | None:
        """Half the exponent of the scene's spectrum; None for a base that does not ask."""
        return self.regularization[1] if self.regularization else None

    def __call__(self, lr: Picture) -> Picture:
        """Enlarge; mirrored beyond the borders."""
        tensor = as_tensor(lr)
        reference = reference_k(tensor)
        calm, spots = tensor - reference, None
        if self.spots is not None:
            calm, spots = self.spots.split(calm)
        answer = self._enlarge(calm)
        return like((answer if spots is None else answer + spots) + reference, lr)

    def _enlarge(self, tensor: Tensor) -> Tensor:
        """The filters, mixed by the activity."""
        answers = interpolate_plane(tensor, self.kernels).unbind(0)
        if self.activity is None:
            return answers[0]
        phases = cubic_phases(self.scale)
        steps = interpolate(interpolate(self.activity.steps(tensor), phases, axis=-2), phases, axis=-1)
        steps = steps.clamp(-1, 1)
        sharp, mean, soft = answers
        return mean - steps.clamp_max(0) * (sharp - mean) + steps.clamp_min(0) * (soft - mean)

    def in_units(self, unit_k: float) -> Base:
        """The same base for a scene given in multiples of `unit_k`, with any offset."""
        activity, spots = self.activity, self.spots
        if activity is not None:
            activity = Activity(activity.noise / unit_k**2, activity.detail / unit_k**2)
        if spots is not None:
            spots = replace(spots, threshold=spots.threshold / unit_k)
        return replace(self, activity=activity, spots=spots)


def detail_power(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(..., y, x) local mean square of what a narrow smoothing takes away."""
    return smooth((tensor - smooth(tensor, CALM_SIGMA_PX)) ** 2, AROUND_SIGMA_PX)


def bicubic(lr: Picture, scale: int) -> Picture:
    """Keys' cubic convolution (a = -0.5) between pixel areas, mirrored borders. (..., y, x), no NaN."""
    tensor = as_tensor(lr)
    reference = reference_k(tensor)
    phases = cubic_phases(scale)
    answer = interpolate(interpolate(tensor - reference, phases, axis=-2), phases, axis=-1)
    return like(answer + reference, lr)


def back_project(lr: Picture, degrade: Degrade, iterations: int = 20) -> Picture:
    """Bicubic, then `iterations` times the enlarged residual on top.

    Source: Irani & Peleg, Improving resolution by image registration, 1991, with bicubic for the way back.
    """
    hr = bicubic(lr, degrade.scale)
    for _ in range(iterations):
        hr = hr + bicubic(lr - degrade(hr), degrade.scale)
    return hr


def bicubic_base(scale: int) -> Base:
    """`bicubic` as a `Base`."""
    phases = cubic_phases(scale)
    return Base("bicubic", np.einsum("ak,bl->abkl", phases, phases)[None].astype(np.float32))


def back_projected_base(degrade: Degrade, iterations: int = 20) -> Base:
    """`back_project` as a `Base`, all iterations in one filter."""
    return Base("back_projected", back_projection_filter(degrade, iterations)[None])


def tikhonov_base(degrade: Degrade, lam: float, p: float) -> Base:
    """`tikhonov_filter` as a `Base`, the same filter everywhere."""
    return Base("tikhonov", tikhonov_filter(degrade, lam, p)[None], regularization=(lam, p))


def fit_base(
    name: str,
    lr: Float32[NDArray[np.float32], "y x"],
    valid: Bool[NDArray[np.bool_], "y x"],
    degrade: Degrade,
    nedt_k: float,
    generator: np.random.Generator,
) -> Base:
    """The base of that name, tuned on the scene where it has something to tune.

    Args:
        name: One of `BASES`.
        lr: (y, x) kelvin; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        degrade: The forward model.
        nedt_k: Noise of the scene, in kelvin.
        generator: Draws the windows and frequencies that the tuning looks at.

    Raises:
        ValueError: If no base has that name.
    """
    if name == "bicubic":
        return bicubic_base(degrade.scale)
    if name == "back_projected":
        return back_projected_base(degrade)
    if name != "tikhonov":
        raise ValueError(f"no base '{name}'; known: {', '.join(BASES)}")
    mean = np.float32(lr[valid].mean(dtype=np.float64) if valid.any() else 0)
    known = in_bands(lambda part, there: np.where(there, part, mean), 0, lr, valid)
    spots = find_spots(known, valid, degrade)
    if spots is not None:
        calm = spots.split
        known = in_bands(lambda part: calm(torch.from_numpy(part))[0].numpy(), spots.reach_px, known)
    law = fit_power_law(known, valid, degrade, nedt_k, generator)
    noise_k = max(nedt_k, SMALLEST_NOISE_K)
    lam = min(noise_k**2 / law.amplitude_k2, MAX_LAMBDA) if law.amplitude_k2 > 0 else USUAL_LAMBDA
    activity = _activity(known, valid, nedt_k)
    louder = [lam] if activity is None else [lam / LOUDER, lam, lam * LOUDER]
    filters = [tikhonov_filter(degrade, each, law.slope) for each in louder]
    width = max(each.shape[-1] for each in filters)
    margins = [(width - each.shape[-1]) // 2 for each in filters]
    kernels = [
        np.pad(each, ((0, 0), (0, 0), (m, m), (m, m))) for each, m in zip(filters, margins, strict=True)
    ]
    return Base("tikhonov", np.stack(kernels), activity, spots, (lam, law.slope))


def _activity(lr: NDArray[np.float32], valid: NDArray[np.bool_], nedt_k: float) -> Activity | None:
    """What is normal in this scene; None without noise, and where there is nothing but noise."""
    if nedt_k <= SMALLEST_NOISE_K or not valid.any():
        return None
    spot = torch.zeros(1, 1, 25, 25, dtype=torch.float64)
    spot[0, 0, 12, 12] = 1
    noise = nedt_k**2 * float(((spot - smooth(spot, CALM_SIGMA_PX)) ** 2).sum())
    level = reference_k(torch.from_numpy(thinned(lr)))
    power = in_bands(lambda part: detail_power(torch.from_numpy(part) - level).numpy(), POWER_REACH_PX, lr)
    surely = ndimage.binary_erosion(valid, iterations=3, border_value=1)
    detail = float(power[surely if surely.any() else valid].mean(dtype=np.float64)) - noise
    return Activity(noise, max(detail, 0.0))
