"""How much of the network's detail is published, decided from all that is known of it.

Evidence comes from the scene's own held-out pixels, from the scene at x2, and from the record of a prior on
scenes that did not teach it. Evidence is averaged by its certainty. Where the scene was asked at x2, its test
at its own scale is not averaged; it has a veto always.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.superres.judging.selftest import FittedGain
from pipeline.superres.prior.weights import Prior

LEAST_GAIN = 0.1  # less is not worth a network
# More is in no record. Absolute errors teach a network the median of what may be there, and that is less than
# the mean: of 19 places left out, 9 ask for more than its whole detail at x2.
MOST_GAIN = 1.5
PRIOR_SCATTER = 0.2  # of the best gain from scene to scene, at least
# At most, where detail is not alike from scale to scale. Degraded Landsat with a prior, against Tikhonov:
# uncut 0.95-1.09, at 0.5 0.95-1.02, at 0.25 0.96-1.00.
ALARMED_GAIN = 0.25
TRAINED_SCALE = 2  # the enlargement up to which a network taught by this scene alone is believed as tested
# Up to which a prior is believed where a scene is too small for a test at its own scale. Landsat at x8, where
# the truth has no finest octave: at 0.96 of the detail 5 % worse than the base, at half 1.4 to 1.6 %.
UNTESTED_SCALE = 4
SCALE_ERROR = 0.15  # of the best gain from one scale to the next, per octave


@dataclass(frozen=True)
class Evidence:
    """What one source says of the gain that fits best.

    Attributes:
        source: In words.
        gain: 0 to 1 and beyond.
        error: Its standard error.
        weight: How much it counts beside other evidence.
    """

    source: str
    gain: float
    error: float
    weight: float

    def __str__(self) -> str:
        return f"{self.source} {self.gain:.2f} +- {self.error:.2f}"


@dataclass(frozen=True)
class Gain:
    """The share of the network's detail that is published.

    Attributes:
        value: 0 to `MOST_GAIN`.
        reason: Why it is 0; "" where it is not.
        evidence: What was known of it, the scene's own test included where it had a veto only.
    """

    value: float
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """The evidence as plain JSON; what is not finite becomes null."""
        return [
            {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(each).items()}
            for each in self.evidence
        ]


def decide(evidence: Sequence[Evidence], *, veto: Evidence | None = None, cap: float = MOST_GAIN) -> Gain:
    """The gain to publish with.

    Args:
        evidence: Averaged by weight.
        veto: The scene's own test. Squared errors on its pixels are those of the base plus something times
            gain * (gain - 2 * fitted gain): the gain is cut to where they are not above the base's, even
            where the fitted gain is a standard error too small.
        cap: The largest gain that may be published.
    """
    known = (*evidence, *([veto] if veto is not None and veto not in evidence else []))
    total = sum(each.weight for each in evidence)
    gain = sum(each.weight * each.gain for each in evidence) / total if total > 0 else math.nan
    if veto is not None:
        gain = min(gain, 2 * max(veto.gain + veto.error, 0.0))
    if not math.isfinite(gain) or gain < LEAST_GAIN:
        told = "; ".join(str(each) for each in known if math.isfinite(each.error)) or "nothing can test it"
        return Gain(0.0, f"no gain over the base is expected of the network ({told})", known)
    return Gain(min(gain, cap), "", known)


def gain_of_trained(
    fitted: FittedGain, *, scale: int, alarmed: bool, pixels: str = "held-out pixels"
) -> Gain:
    """The gain of a network that this scene alone taught, or that others taught without a record of it.

    One standard error less than its held-out pixels say, because a published pixel should not be expected to
    be worse than the base. The network was taught at the very scale that it is tested at, so beyond x2 it is
    believed less: on real scenes a gain of 1.3 was fitted at x4 where 0.14 was best one scale down.
    """
    believed = (fitted.gain - fitted.error) * TRAINED_SCALE / max(scale, TRAINED_SCALE)
    own = Evidence(f"the scene's {pixels}", believed, fitted.error, 1.0)
    return decide([own], cap=_cap(fitted, scale, alarmed))


def gain_of_prior(
    fitted: FittedGain, expected: Evidence, *, scale: int, alarmed: bool, own_counts: bool
) -> Gain:
    """The gain of a prior's network.

    Args:
        fitted: What the scene's own test found.
        expected: From the prior's record, or from the scene at x2 with that record.
        scale: Linear enlargement.
        alarmed: Whether the scene's detail is not alike from scale to scale. Then neither the test nor the
            record speaks for what is published: a quarter of the detail at most.
        own_counts: Whether the scene's own test is averaged with what is expected. It has a veto only where
            the prior was taught by this scene, or where the scene was asked at x2 already.
    """
    error = math.hypot(fitted.error, SCALE_ERROR * math.log2(scale))
    gain = fitted.gain if math.isfinite(fitted.error) else 0.0
    own = Evidence("the scene's own test", gain, error, 1 / error**2)
    evidence = [own, expected] if own_counts else [expected]
    return decide(evidence, veto=own, cap=_cap(fitted, scale, alarmed))


def record_evidence(prior: Prior, scale: int) -> Evidence:
    """What the scenes left out of a prior recommend."""
    card = prior.facts(scale)
    return expected_gain(
        "the prior's record", float(card.get("gain", 1.0)), float(card.get("gain_error", 0.1))
    )


def expected_gain(source: str, gain: float, error: float) -> Evidence:
    """Evidence from other scenes: it is never surer than scenes differ."""
    return Evidence(source, gain, error, 1 / max(error, PRIOR_SCATTER) ** 2)


def _cap(fitted: FittedGain, scale: int, alarmed: bool) -> float:
    """`MOST_GAIN`; less where the scene is too small for a test, or its scales are not alike."""
    most = MOST_GAIN if math.isfinite(fitted.error) else min(1.0, UNTESTED_SCALE / scale)
    return min(most, ALARMED_GAIN) if alarmed else most
