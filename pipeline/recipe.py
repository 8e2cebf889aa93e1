"""The recipe: all that decides a product's pixels beside the scene, the machine and our version.

Its one choice is where the network's detail comes from: a prior alone, a network trained on the scene (from
a prior or from nothing), or nowhere. Every setting says under which choices it acts (`recipe_settings`), so
that two recipes with equal numbers where they act have one digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from pipeline.files import text_digest
from pipeline.network_settings import NetworkSettings, fields_of
from pipeline.recipe_settings import (
    NETWORK,
    TAUGHT,
    TRAINED,
    Branch,
    DegradeSettings,
    FirstName,
    GateSettings,
    InferSettings,
    NormalizeSettings,
    PairSettings,
    TrainSettings,
    When,
    when,
)

Scale = Literal[2, 3, 4, 8, 16]
Detail = Literal["prior", "trained", "pretrained", "none"]
LARGEST_SEED = 2**63 - 1
ENLARGED_FIRST = ("zssr", "srcnn")

# The original gives x4, x8, x16; x2 and x3 continue the row.
CROP_PX: Mapping[int, int] = {2: 64, 3: 64, 4: 64, 8: 48, 16: 32}
PATCH_PX: Mapping[int, int] = {2: 128, 3: 128, 4: 128, 8: 96, 16: 64}
# From nothing. From x4 on a scene has few pairs of its own: ungated, 300 steps cost 2.8 % against 100.
STEPS: Mapping[str, Mapping[int, int]] = {
    "fast": dict.fromkeys((2, 3, 4, 8, 16), 60),
    "balanced": {2: 300, 3: 150, 4: 100, 8: 100, 16: 100},
    "quality": {2: 600, 3: 250, 4: 150, 8: 150, 16: 150},
    "original": {2: 15_000, 3: 15_000, 4: 15_000, 8: 20_000, 16: 25_000},
}
STEPS_FROM_PRIOR: Mapping[str, int] = {"fast": 40, "balanced": 100, "quality": 400, "original": 400}
FROM_PRIOR: Mapping[str, Any] = {"train": {"learning_rate": 3e-4}}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"infer": {"self_ensemble": False}},
    "balanced": {},
    "quality": {"network": {"size": "standard"}},
    "original": {
        "prior": "none",
        "pairs": {"model": "original", "batch": 1, "photometric_probability": 0.3},
        "network": {"base": "bicubic", "size": "original"},
        "train": {
            "learning_rate": 5e-5,
            "schedule": "cosine",
            "loss_l1_weight": 0.6,
            "loss_edge_weight": 0.15,
            "loss_hf_weight": 0.25,
            "ema_decay": 0.0,
            "validate_every": 1000,
            "patience_fraction": 0.5,
        },
        "infer": {"mode": "shifts"},
        "gate": {"enabled": False, "project": False},
    },
}


class Recipe(Branch):
    """All that decides a product's pixels."""

    preset: Annotated[Literal["fast", "balanced", "quality", "original"], FirstName] = Field(
        "balanced", description="Sets the defaults of this branch; whatever is given explicitly wins."
    )
    scale: Scale = Field(4, description="Linear enlargement: 2, 4, 8; 16 is experimental, 3 for zssr, srcnn.")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Of all randomness.")
    detail: Detail | None = Field(
        None,
        description="Where detail comes from: a prior alone, a network trained on this scene (starting from "
        "the prior), the weights of network.pretrained, or none; unset: pretrained where weights are named, "
        "prior under the preset fast, else trained.",
    )
    prior: Annotated[str, TAUGHT] = Field(
        "shipped", description='"shipped", "none", or the path of a prior made by `thermal-sr train-prior`.'
    )
    prior_sha256: str = Field("", description="Filled in: digest of the prior's file.")
    normalize: Annotated[NormalizeSettings, when("network.mean_window_px or detail", 0, "pretrained")] = (
        Field(default_factory=NormalizeSettings, description="Kelvin to unitless.")
    )
    degrade: DegradeSettings = Field(default_factory=DegradeSettings, description="The forward model.")
    pairs: Annotated[PairSettings, TRAINED] = Field(
        default_factory=PairSettings, description="Training pairs."
    )
    network: NetworkSettings = Field(default_factory=NetworkSettings, description="The network.")
    train: Annotated[TrainSettings, TRAINED] = Field(
        default_factory=TrainSettings, description="The training."
    )
    infer: Annotated[InferSettings, NETWORK] = Field(
        default_factory=InferSettings, description="The application."
    )
    gate: GateSettings = Field(default_factory=GateSettings, description="Gain and projection.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        preset = str(given.get("preset", "balanced"))
        below = PRESETS.get("original" if preset == "seed" else preset, {})
        choice: dict[str, Any] = {"detail": None, "prior": "shipped", **below, **given}
        network = given.get("network", {})
        weights = network.get("pretrained") if isinstance(network, Mapping) else network.pretrained
        detail = _detail(choice["detail"], choice["prior"], preset, weights)
        if choice["prior"] != "none" and detail == "trained":
            below = _merge(FROM_PRIOR, below)
        return _merge(below, given)

    @model_validator(mode="after")
    def _has_what_it_names(self) -> Recipe:
        if self.detail == "prior" and self.prior == "none":
            raise ValueError('detail is "prior", but prior is "none"; name a prior, or set detail to trained')
        if self.detail == "pretrained" and self.network.pretrained is None:
            raise ValueError('detail is "pretrained"; name the weights in network.pretrained')
        enlarged = self.network.name in ENLARGED_FIRST and self.prior == "none"
        if self.scale == 3 and self.resolved().detail not in ("none", "pretrained") and not enlarged:
            raise ValueError(
                'scale 3 is for networks that take the enlarged scene: set network.name to "zssr" or "srcnn" '
                'and prior to "none", or detail to "none"'
            )
        return self

    @property
    def digest(self) -> str:
        """Eight hex digits that name what acts in this recipe; files count by content, wherever they lie."""
        acting = {
            name: value for name, value in self.acting().items() if name not in ("preset", "network.size")
        }
        if self.prior_sha256 and "prior" in acting:
            acting["prior"] = self.prior_sha256
        if self.degrade.kernel_sha256:
            acting["degrade.kernel"] = self.degrade.kernel_sha256
        if self.network.pretrained_sha256 and "network.pretrained" in acting:
            acting["network.pretrained"] = self.network.pretrained_sha256
        return text_digest(json.dumps(acting, sort_keys=True))[:8]

    @property
    def label(self) -> str:
        """Folder name of this recipe's products: where detail comes from, scale, digest."""
        detail = self.resolved().detail
        return f"{'base' if detail == 'none' else detail}-x{self.scale}-{self.digest}"

    def resolved(self) -> Recipe:
        """The recipe with every setting that depends on another one filled in."""
        network = self.network
        detail = _detail(self.detail, self.prior, self.preset, network.pretrained)
        started = detail == "trained" and self.prior != "none"
        steps = STEPS_FROM_PRIOR[self.preset] if started else STEPS[self.preset][self.scale]
        crop_px = CROP_PX[self.scale] if self.pairs.model == "original" else 24
        return self.model_copy(
            update={
                "detail": detail,
                "network": _filled(
                    self.network, fields_of(network.name, network.size or "small", network.attention)
                ),
                "pairs": _filled(self.pairs, {"crop_px": crop_px}),
                "infer": _filled(self.infer, {"patch_px": PATCH_PX[self.scale], "context_px": 0}),
                "train": _filled(self.train, {"steps": steps}),
            }
        )

    def acting(self) -> dict[str, Any]:
        """Every setting that acts, resolved, by its dotted name below `recipe`; plain JSON."""
        plain, resting = self.resolved().model_dump(mode="json"), self.resting()
        return {
            name: value
            for name in CONDITIONS
            if name not in resting and (value := value_at(plain, name)) is not None
        }

    def resting(self) -> dict[str, When]:
        """Every setting that changes nothing here, by its dotted name, and the condition that it lacks."""
        recipe = self.resolved()
        found: dict[str, When] = {}

        def first_lack(name: str) -> When | None:
            """The first condition of a setting that is not met here; None where it acts."""
            for condition in CONDITIONS[name]:
                lacks = [first_lack(each) for each in condition.names]
                met = (
                    lack is None and condition.allows(value_at(recipe, each))
                    for each, lack in zip(condition.names, lacks, strict=True)
                )
                if not any(met):
                    return lacks[0] or condition
            return None

        for name in CONDITIONS:
            if (lack := first_lack(name)) is not None:
                found[name] = lack
        return found


def _detail(detail: Any, prior: Any, preset: str, pretrained: Any) -> Detail:
    """What `recipe.detail` is where it is unset."""
    if pretrained is not None and detail is None:
        return "pretrained"
    return detail or ("prior" if preset == "fast" and prior != "none" else "trained")


def _filled(branch: Any, values: Mapping[str, Any]) -> Any:
    return branch.model_copy(
        update={name: value for name, value in values.items() if getattr(branch, name) is None}
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, given in above.items():
        value, under = given, merged.get(name)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = _merge(under, value)
        merged[name] = value
    return merged


def value_at(tree: Any, dotted: str) -> Any:
    """What stands at a dotted name of a plain tree or of settings; None where there is nothing."""
    for part in dotted.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else getattr(tree, part, None)
    return tree


def _declared(
    model: type[BaseModel], path: str, above: tuple[When, ...]
) -> Iterator[tuple[str, tuple[When, ...]]]:
    for name, info in model.model_fields.items():
        own = tuple(each for each in info.metadata if isinstance(each, When))
        spoken = {each.names for each in own}  # a setting's own word wins over its branch's
        conditions = (*(each for each in above if each.names not in spoken), *own)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _declared(info.annotation, f"{path}{name}.", conditions)
        elif not name.endswith("_sha256"):
            yield f"{path}{name}", conditions


CONDITIONS: Mapping[str, tuple[When, ...]] = MappingProxyType(dict(_declared(Recipe, "", ())))
