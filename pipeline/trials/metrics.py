"""How far an answer can be trusted, in kelvin.

Two questions, kept apart: *accuracy* needs a truth of finer GSD; *consistency* only asks
whether the sensor, looking at the answer, would have seen the scene. A method can be
perfectly consistent and add nothing, or add detail that is not there: hence `detail_gain`
beside `detail_correlation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Integer
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.spectrum import estimate_noise_k as estimate_noise_k
from pipeline.superres.sensing.spectrum import oversampling as oversampling

Plane = Float[NDArray[np.floating], "_ _"]  # coarse and fine ones stand in one call
Line = Float64[NDArray[np.float64], " pixel"]


@dataclass(frozen=True)
class Accuracy:
    """An answer against the truth, over pixels valid in both; 2 LR pixels of border are left out.

    Attributes:
        rmse_k: Root mean square error.
        mae_k: Mean absolute error.
        bias_k: Mean of answer minus truth.
        p99_error_k: 99th percentile of the absolute error.
        psnr_db: Against `peak_k`.
        ssim: Structural similarity, Gaussian window of sigma 1.5, data range `peak_k`.
        consistency_k: RMS of degraded answer minus scene, whole LR grid.
        detail_gain: Standard deviation of what the answer has and the sensor cannot see, over the truth's.
        detail_correlation: Correlation of that detail with the truth's.
        improvement_fraction: Share of that detail, the truth's and what the answer adds to it, that is right.
        omission_fraction: Share that the truth has and the answer lacks.
        hallucination_fraction: Share that the answer has and the truth does not. The three sum to one.
        overshoot_k: Mean distance by which the answer leaves the truth's range within one LR pixel around.
        peak_k: 99th minus 1st percentile of the truth.
    """

    rmse_k: float
    mae_k: float
    bias_k: float
    p99_error_k: float
    psnr_db: float
    ssim: float
    consistency_k: float
    detail_gain: float
    detail_correlation: float
    improvement_fraction: float
    omission_fraction: float
    hallucination_fraction: float
    overshoot_k: float
    peak_k: float


def accuracy(
    answer: Plane, truth: Plane, lr: Plane, degrade: Degrade, shave_px: int | None = None
) -> Accuracy:
    """Every figure of `Accuracy`.

    Args:
        answer: (scale*y, scale*x) kelvin, NaN for no data.
        truth: The same grid.
        lr: (y, x) kelvin, the scene that the method was given.
        degrade: The forward model between the two grids.
        shave_px: HR pixels left out along the border; 2 LR pixels by default.

    Raises:
        ValueError: If the shapes do not belong together or no pixel is valid in both.
    """
    scale = degrade.scale
    if answer.shape != truth.shape or truth.shape != (lr.shape[0] * scale, lr.shape[1] * scale):
        raise ValueError(
            f"answer {answer.shape}, truth {truth.shape} and scene {lr.shape} differ from x{scale}"
        )
    valid = np.isfinite(answer) & np.isfinite(truth)
    inner = np.zeros_like(valid)
    shave = 2 * scale if shave_px is None else shave_px
    inner[shave : inner.shape[0] - shave, shave : inner.shape[1] - shave] = True
    if not (valid & inner).any():
        raise ValueError("no pixel is valid both in the answer and in the truth")
    low, high = np.percentile(truth[np.isfinite(truth)].astype(np.float64), [1, 99])
    peak_k = float(high - low)
    error = (answer.astype(np.float64) - truth)[valid & inner]
    rmse_k = float(np.sqrt(np.mean(error**2)))
    of_answer, of_truth = (_unseen(plane, truth, valid, degrade)[valid & inner] for plane in (answer, truth))
    gain, correlation = _detail(of_answer, of_truth)
    right, lacking, invented = detail_shares(of_answer, of_truth)
    return Accuracy(
        rmse_k=rmse_k,
        mae_k=float(np.abs(error).mean()),
        bias_k=float(error.mean()),
        p99_error_k=float(np.percentile(np.abs(error), 99)),
        psnr_db=float(20 * np.log10(max(peak_k, 1e-9) / max(rmse_k, 1e-9))),
        ssim=_similarity(answer, truth, valid, inner, peak_k),
        consistency_k=consistency_rmse_k(answer, lr, degrade),
        detail_gain=gain,
        detail_correlation=correlation,
        improvement_fraction=right,
        omission_fraction=lacking,
        hallucination_fraction=invented,
        overshoot_k=_overshoot(answer, truth, valid & inner, scale),
        peak_k=peak_k,
    )


def consistency_residual(answer: Plane, lr: Plane, degrade: Degrade) -> Float64[NDArray[np.float64], "y x"]:
    """(y, x) kelvin: what the sensor would see of the answer, minus the scene; NaN where one is missing."""
    return np.asarray(degrade(answer.astype(np.float64)) - lr, dtype=np.float64)


def consistency_rmse_k(answer: Plane, lr: Plane, degrade: Degrade) -> float:
    """Root mean square of `consistency_residual`, in kelvin; NaN where nothing is valid in both."""
    residual = consistency_residual(answer, lr, degrade)
    residual = residual[np.isfinite(residual)]
    return float(np.sqrt(np.mean(residual**2))) if residual.size else float("nan")


def seam_index(hr: Plane, tile_px: int, scale: int = 1) -> float:
    """Mean step across the lines between tiles over the mean step elsewhere; 1 where no seam shows.

    Args:
        hr: (y, x) kelvin, NaN for no data.
        tile_px: Side of the tiles, in pixels of `hr`.
        scale: "Elsewhere" are the other lines between squares of this many pixels: an enlarged scene is
            smoother inside an LR pixel than between two of them, with or without tiles.

    Raises:
        ValueError: If no line between tiles has data.
    """
    on, off = [], []
    for picture in (hr, hr.T):
        step = np.abs(np.diff(picture.astype(np.float64), axis=0))[scale - 1 :: scale]
        line = (np.arange(step.shape[0]) + 1) * scale % tile_px == 0
        on.append(step[line].ravel())
        off.append(step[~line].ravel())
    across, elsewhere = np.concatenate(on), np.concatenate(off)
    if not np.isfinite(across).any():
        raise ValueError(f"no line between tiles of {tile_px} pixels has data in a scene of {hr.shape}")
    return float(np.nanmean(across) / max(float(np.nanmean(elsewhere)), 1e-12))


def shift_px(picture: Plane, reference: Plane, rounds: int = 5) -> tuple[float, float]:
    """How far (y, x) the picture lies to the bottom right of the reference, in pixels.

    Least squares on gradients, repeated with the picture moved back. Both may differ in sharpness:
    a symmetric blur leaves no trace in the gradient's direction.

    Args:
        picture: (y, x) kelvin, NaN for no data; expected to be off by less than about a pixel.
        reference: The same shape.
        rounds: How often the estimate is refined.

    Source: Lucas & Kanade, An iterative image registration technique, 1981.
    """
    valid = np.isfinite(picture) & np.isfinite(reference)
    inside = ndimage.minimum_filter(valid, 9, mode="constant", cval=False)
    level = float(reference[valid].mean()) if valid.any() else 0.0
    fixed = np.where(valid, reference.astype(np.float64) - level, 0)
    moving = np.where(valid, picture.astype(np.float64) - level, 0)
    total = np.zeros(2)
    for _ in range(rounds):
        moved = ndimage.shift(moving, -total, order=3, mode="nearest")
        mean = ndimage.gaussian_filter((moved + fixed) / 2, 1.0)
        difference = ndimage.gaussian_filter(moved - fixed, 1.0)
        slopes = np.stack([np.gradient(mean, axis=axis)[inside] for axis in (0, 1)])
        normal = slopes @ slopes.T
        if np.linalg.matrix_rank(normal, tol=1e-12 * max(float(np.trace(normal)), 1e-30)) < 2:
            return float("nan"), float("nan")
        total -= np.linalg.solve(normal, slopes @ difference[inside])
    return float(total[0]), float(total[1])


def detail_shares(answer: Line, truth: Line) -> tuple[float, float, float]:
    """How much of the detail in both is right, lacking and invented; the three sum to one.

    Args:
        answer: Detail of an answer, pixel by pixel, in kelvin.
        truth: Of the truth. Detail is right as far as it has the truth's sign and does not exceed it.

    Returns:
        Shares of improvement, omission and hallucination; an answer without detail omits all.

    Source: the three kinds are those of Aybar et al. 2024, A Comprehensive Benchmark for Optical Remote
    Sensing Image Super-Resolution, here of one band and in kelvin.
    """
    right = np.clip(answer * np.sign(truth), 0, np.abs(truth))
    lacking = np.abs(truth) - right
    invented = np.abs(answer - np.sign(truth) * right)
    sums = [float(part.sum()) for part in (right, lacking, invented)]
    total = sum(sums)
    if total < 1e-12:
        return 0.0, 1.0, 0.0
    return sums[0] / total, sums[1] / total, sums[2] / total


def errors_by_gradient(answer: Plane, truth: Plane, shave_px: int) -> dict[str, float]:
    """RMS error in kelvin in the calm, the middle and the steep third of the truth's gradients."""
    slope = np.hypot(*np.gradient(truth.astype(np.float64)))
    inside = np.zeros(truth.shape, dtype=bool)
    inside[shave_px : truth.shape[0] - shave_px, shave_px : truth.shape[1] - shave_px] = True
    low, high = np.quantile(slope[inside & np.isfinite(slope)], [1 / 3, 2 / 3])
    thirds = {"calm": slope <= low, "middle": (slope > low) & (slope <= high), "steep": slope > high}
    return {name: _rmse_k(answer, truth, where & inside) for name, where in thirds.items()}


def errors_by_class(
    answer: Plane, truth: Plane, classes: Integer[NDArray[np.integer], "_ _"], shave_px: int
) -> dict[str, float]:
    """RMS error in kelvin of every class of a map on the truth's grid, by the class's number."""
    inside = np.zeros(truth.shape, dtype=bool)
    inside[shave_px : truth.shape[0] - shave_px, shave_px : truth.shape[1] - shave_px] = True
    found = np.unique(classes[inside])
    return {str(number): _rmse_k(answer, truth, inside & (classes == number)) for number in found}


def _rmse_k(answer: Plane, truth: Plane, where: NDArray[np.bool_]) -> float:
    error = (answer.astype(np.float64) - truth)[where]
    error = error[np.isfinite(error)]
    return float(np.sqrt(np.mean(error**2))) if error.size else float("nan")


def _unseen(
    plane: Plane, truth: Plane, valid: NDArray[np.bool_], degrade: Degrade
) -> Float64[NDArray[np.float64], "y x"]:
    """The part of a picture that the sensor cannot see."""
    filled = np.where(valid, plane.astype(np.float64) - float(truth[valid].mean()), 0)
    return np.asarray(filled - degrade.pinv(degrade(filled)))


def _detail(answer: Line, truth: Line) -> tuple[float, float]:
    """Gain and correlation of the part that the sensor cannot see."""
    spread = [float(part.std()) for part in (answer, truth)]
    both = float(np.mean((answer - answer.mean()) * (truth - truth.mean())))
    correlation = both / (spread[0] * spread[1]) if spread[0] * spread[1] > 1e-12 else 0.0
    return spread[0] / max(spread[1], 1e-9), correlation


def _similarity(
    answer: Plane, truth: Plane, valid: NDArray[np.bool_], inner: NDArray[np.bool_], peak_k: float
) -> float:
    """Structural similarity inside the border; NaN where the picture is smaller than the window."""
    rows, columns = np.flatnonzero(inner.any(1)), np.flatnonzero(inner.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if min(valid[box].shape) < 11 or peak_k <= 0:
        return float("nan")
    filled = [
        np.where(valid, plane, truth[valid].mean())[box].astype(np.float64) for plane in (truth, answer)
    ]
    mean, each = structural_similarity(  # type: ignore[no-untyped-call]
        *filled, data_range=peak_k, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return float(mean) if valid[box].all() else float(each[valid[box]].mean())


def _overshoot(answer: Plane, truth: Plane, judged: NDArray[np.bool_], scale: int) -> float:
    """Mean distance to the truth's range in a square of 2*scale+1 pixels."""
    highest = ndimage.maximum_filter(np.where(np.isfinite(truth), truth, -np.inf), 2 * scale + 1)
    lowest = ndimage.minimum_filter(np.where(np.isfinite(truth), truth, np.inf), 2 * scale + 1)
    beyond = np.maximum(answer[judged] - highest[judged], 0) + np.maximum(lowest[judged] - answer[judged], 0)
    return float(beyond.astype(np.float64).mean())
