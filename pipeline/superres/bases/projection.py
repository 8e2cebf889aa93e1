"""The last step: the sensor, looking at the product, sees the scene.

What the degraded answer lacks is enlarged by the smoothest filter that undoes the sensor, and
put on top. Under noise a scene must not be met more closely than its noise allows, or the noise
is copied into the product: only what stands out of the noise is put on top, place by place, and
the mean over a neighborhood always.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.superres.bases.filters import tikhonov_filter
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.nested_grids import (
    as_tensor,
    interpolate_plane,
    reference_k,
    smooth,
    smooth_radius,
)

NOISELESS = 1e-3  # working kelvin; a scene with less noise is met exactly
ALMOST_NONE = 1e-7  # lambda
SMOOTHNESS = 1.5  # p; measured against 0.5 ... 2 and against the smallest correction (p = 0)
RADIUS_PX = 7
ROUNDS, ROUNDS_UNDER_NOISE = 4, 1
CAUTION = 1.5  # power of the valid share of a pixel's weight; 1 may diverge beside holes under wide blur
BROAD_SIGMA_PX = 2.0
AROUND_SIGMA_PX = 3.0  # fewer pixels would take the noise's own ups and downs for something to correct
TOLERATED = 0.95  # of the noise may remain


@dataclass(frozen=True)
class Projection:
    """Makes an answer consistent with its scene; pure, of finite reach, independent of masked pixels.

    Attributes:
        degrade: The forward model.
        noise: Standard deviation of the scene's noise, in working kelvin.
        kernel: (scale, scale, width, width) weights of the way back.
        rounds: How often the rest is put on top.
    """

    degrade: Degrade
    noise: float
    kernel: NDArray[np.float32]
    rounds: int

    @classmethod
    def of(cls, degrade: Degrade, noise: float) -> Projection:
        """For a forward model and a noise."""
        rounds = ROUNDS_UNDER_NOISE if noise > NOISELESS else ROUNDS
        return cls(degrade, noise, tikhonov_filter(degrade, ALMOST_NONE, SMOOTHNESS, RADIUS_PX), rounds)

    @property
    def reach_px(self) -> int:
        """How far one LR pixel can change the answer, in LR pixels."""
        shrink = 0
        if self.noise > NOISELESS:
            shrink = smooth_radius(BROAD_SIGMA_PX) + smooth_radius(AROUND_SIGMA_PX)
        return self.rounds * (self.degrade.reach_px + shrink + int(self.kernel.shape[-1] // 2))

    def __call__(
        self, hr: NDArray[np.float32], lr: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """A consistent answer.

        Args:
            hr: (scale*y, scale*x), finite; what stands at missing pixels neither counts nor changes others.
            lr: (y, x), finite; the same holds.
            valid: (y, x), true where `lr` was measured.

        Returns:
            Like `hr`.
        """
        known, scene = torch.from_numpy(np.ascontiguousarray(valid)), as_tensor(lr)
        reference = reference_k(scene[known]) if bool(known.any()) else torch.zeros(())
        answer, scene = as_tensor(hr) - reference, scene - reference
        fine = weight = trust = None
        if not bool(known.all()):
            fine = known.repeat_interleave(self.degrade.scale, 0).repeat_interleave(self.degrade.scale, 1)
            weight = self.degrade.blur(fine.to(answer.dtype))
            trust = self.degrade(fine.to(answer.dtype)).clamp_min(0) ** CAUTION
        for _ in range(self.rounds):
            seen = self.degrade.blur(answer if fine is None else answer.where(fine, 0))
            seen = seen if weight is None else self.degrade.share_out(seen, weight)
            rest = torch.where(known, torch.nan_to_num(scene - seen), torch.zeros(()))
            rest = rest if trust is None else rest * trust
            if self.noise > NOISELESS:
                rest = self._beyond_noise(rest, known)
            answer += interpolate_plane(rest, self.kernel[None])[0]
        return np.asarray(answer.add_(reference).numpy(), dtype=np.float32)

    def _beyond_noise(self, rest: Tensor, known: Tensor) -> Tensor:
        """The part of a residual that noise does not explain; zero where nothing was measured."""
        # Where nothing is missing, every smoothed weight is that of one pixel alone.
        weight = rest.new_ones((1, 1)) if bool(known.all()) else known.to(rest.dtype)
        broad = smooth(rest, BROAD_SIGMA_PX) / smooth(weight, BROAD_SIGMA_PX).clamp_min(1e-3) * weight
        local = (rest - broad) * weight
        power = smooth(local**2, AROUND_SIGMA_PX) / smooth(weight, AROUND_SIGMA_PX).clamp_min(1e-3)
        share = (1 - (TOLERATED * self.noise) ** 2 / power.clamp_min(1e-12)).clamp_min(0)
        return broad + share * local
