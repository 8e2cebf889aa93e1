"""Option names of the original and of other programs, and the settings that they stand for here.

`docs/original.md` has them in tables, which a test reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import SettingsError

# The attention network on one picture, in capitals; `train.py` of ZSSR for PyTorch; HSPAN.
NAMES: Mapping[str, str] = {
    "SR_FACTOR": "recipe.scale",
    "NUM_ITERATIONS": "recipe.train.steps",
    "CROP_SIZE": "recipe.pairs.crop_px",
    "CHANNELS": "recipe.network.channels",
    "NUM_BLOCKS": "recipe.network.blocks",
    "ATTENTION_REDUCTION": "recipe.network.attention_reduction",
    "USE_SPATIAL_ATTENTION": "recipe.network.spatial_attention",
    "INITIAL_LR": "recipe.train.learning_rate",
    "WEIGHT_DECAY": "recipe.train.weight_decay",
    "GRADIENT_CLIP": "recipe.train.gradient_clip",
    "LOSS_L1_WEIGHT": "recipe.train.loss_l1_weight",
    "LOSS_EDGE_WEIGHT": "recipe.train.loss_edge_weight",
    "LOSS_HF_WEIGHT": "recipe.train.loss_hf_weight",
    "USE_TTA": "recipe.infer.self_ensemble",
    "NUM_SHIFT_PASSES": "recipe.infer.num_shift_passes",
    "MAX_SHIFT_RATIO": "recipe.infer.max_shift_ratio",
    "INPUT_FILE": "archive.root",
    "OUTPUT_DIR": "output.root",
    "num_batches": "recipe.train.steps",
    "lr": "recipe.train.learning_rate",
    "factor": "recipe.scale",
    "img": "archive.root",
    "scale": "recipe.scale",
    "n_resgroups": "recipe.network.blocks",
    "n_resblocks": "recipe.network.layers",
    "n_feats": "recipe.network.channels",
    "reduction": "recipe.network.similarity_reduction",
    "topk": "recipe.network.topk",
    "res_scale": "recipe.network.residual_scale",
    "batch_size": "recipe.pairs.batch",
    "save_models": "output.weights",
}
# Two switches say there what `recipe.infer.mode` says in one word.
SWITCHES: Mapping[str, str] = {"USE_BLENDING": "blend", "USE_RANDOM_SHIFTS": "shifts"}
FINE_SIDES = ("crop", "patch_size")  # sides of a patch in fine pixels; here they are counted in coarse ones
# What has no setting of its own here, and what to say in its place.
INSTEAD: Mapping[str, str] = {
    "model": "say recipe.network.name",
    "epochs": "say how many patches are seen: recipe.train.steps and recipe.pairs.batch",
    "decay": 'say recipe.train.schedule = "step"',
    "chop": "scenes are always computed by tiles; run.tile_px is their side",
    "rgb_range": "scenes have kelvin; recipe.normalize says what a network sees",
    "n_GPUs": "a scene runs on one GPU; run.workers and run.dispatch run several scenes",
    "pre_train": "say recipe.network.pretrained",
    "test_only": 'say recipe.network.pretrained, or recipe.detail = "prior"',
    "save_results": "every product is written; `thermal-sr benchmark` takes --out",
    "data_range": "name the files",
}


def dotted_name(name: str) -> str:
    """The setting that a name stands for: its own, or the one of a name from elsewhere.

    Raises:
        SettingsError: If nothing here is called so, but something else does it.
    """
    if name in INSTEAD:
        raise SettingsError(f"setting {name} is none here: {INSTEAD[name]}")
    if name in SWITCHES:
        return "recipe.infer.mode"
    return "recipe.pairs.crop_px" if name in FINE_SIDES else NAMES.get(name, name)


def coarse_side(name: str, fine_px: object, scale: object) -> int:
    """The side of a patch in coarse pixels.

    Raises:
        SettingsError: If the fine side is no multiple of the enlargement.
    """
    if not isinstance(fine_px, int) or not isinstance(scale, int) or fine_px % max(scale, 1):
        raise SettingsError(
            f"setting {name}: fine pixels in whole multiples of recipe.scale ({scale}) are wanted, "
            f"found {fine_px}"
        )
    return fine_px // scale
