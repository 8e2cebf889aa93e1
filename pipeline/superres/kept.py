"""The network that a scene taught, on its way into the scene's product and back."""

from __future__ import annotations

from pipeline.recipe import Recipe
from pipeline.superres.bases.base import Base, back_projected_base
from pipeline.superres.detail import Detail
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.prepare import Prepared


def kept_network(detail: Detail, prepared: Prepared, recipe: Recipe) -> Prior:
    """A network that this scene taught, in the form of a prior, which names the scene as its teacher."""
    assert detail.network is not None
    assert detail.report is not None
    weights = {name: tensor.detach().cpu() for name, tensor in detail.network.named_parameters()}
    facts = detail.prior.facts(recipe.scale) if detail.prior is not None else {}
    settings = facts.get("network") or recipe.network.model_dump(mode="json")
    scene = {"name": prepared.scene.ref.scene_id, "digest": prepared.scene.ref.digest}
    card = {
        "scales": {
            str(recipe.scale): {
                **facts,
                "network": settings,
                "sigma": float(detail.network.sigma),
                "base": detail.base.name,
                "unit": float(detail.network.unit),
                "steps": detail.report.best_step,
            }
        },
        "scenes": [scene, *(detail.prior.card["scenes"] if detail.prior is not None else ())],
        "skill": [],
    }
    return Prior({recipe.scale: weights}, card)


def detail_of_kept(prepared: Prepared, base: Base, kept: Prior) -> Detail:
    """The network that this scene taught, as its product kept it: weights in float16, units of then.

    Args:
        prepared: The scene.
        base: What the recipe's own networks add to; one that started from a prior adds to the prior's.
        kept: From `kept_network`.
    """
    network, facts = kept.network(prepared.scale), kept.facts(prepared.scale)
    network.calibrate(unit=float(facts["unit"]), noise=prepared.noise / prepared.units.scale_k)
    own = base if base.name == facts["base"] else back_projected_base(prepared.degrade)
    return Detail(own, network, trained=True, facts={"source": "weights kept with the product"})
