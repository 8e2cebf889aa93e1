"""What a view may know besides the store it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.output_settings import OutputSettings
from pipeline.products.product_files import ProductFiles
from pipeline.products.store.statistics import StoreSummary
from pipeline.scene import Enhancement

CurvePoint = tuple[float, float, float | None]  # training step, loss, validation loss where it was measured


@dataclass(frozen=True)
class ViewContext:
    """Words and numbers around a store; pixels of the product come from the store alone.

    Attributes:
        enhancement: The scene, its grid and its provenance; views never compute it again.
        files: Where to write.
        settings: Form of the output.
        summary: What `write_store` counted.
        figures: What is known of the product's quality; any may be missing.
        curve: The training, possibly empty.
        created: UTC time of production, ISO 8601 with Z.
        tags: Names of the run, the recipe and the like, for the files' own metadata.
    """

    enhancement: Enhancement
    files: ProductFiles
    settings: OutputSettings
    summary: StoreSummary
    figures: Mapping[str, float | str | None] = field(default_factory=dict)
    curve: Sequence[CurvePoint] = ()
    created: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
