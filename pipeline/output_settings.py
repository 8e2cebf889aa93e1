"""What goes out, and in which form: one branch of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipeline.recipe_settings import Branch


class OutputSettings(Branch):
    """What goes out, and in which form; nothing here changes temperature, uncertainty or flags."""

    root: Path = Field(Path("out"), description="Folder of products.")
    chunk_px: int = Field(512, ge=64, le=4096, description="Side of a Zarr chunk, in product pixels.")
    compression: int = Field(
        3,
        ge=1,
        le=19,
        description="Compression level of the Zarr store and the GeoTIFFs; with deflate 1 to 9.",
    )
    cog_compression: Literal["zstd", "deflate"] = Field(
        "zstd", description="GeoTIFF compression; deflate for readers without Zstandard."
    )
    detail_learned: bool = Field(
        False,
        description="Write the variable `detail_learned`, the product minus the same without the network, "
        "and tell the network's share of the difference to bicubic.",
    )
    preview_max_px: int = Field(
        4096, ge=64, description="Pictures are 1:1 up to this long side, an overview beyond."
    )
    sharpened: bool = Field(
        False,
        description="Write an unsharp-masked extra variable `sharpened`; the temperature never is sharpened.",
    )
    sharpened_strength: float = Field(
        0.5, ge=0, le=5, description="Of its mask: the share of the difference from the blurred picture."
    )
    sharpened_share: float = Field(
        0.3, ge=0, le=1, description="Most that `sharpened` holds of the mask, where an edge is strongest."
    )
    catalog: bool = Field(
        True, description="A night with new products rebuilds catalog.json and catalog.csv."
    )
    pages: bool = Field(True, description="Write view.html, the product in a browser, at most 8 MB.")
    guide: Path | None = Field(
        None,
        description="A finer GeoTIFF of the same places, from an optical sensor say: view.html shows its "
        "first band beside the product. No pixel of a product depends on it.",
    )
    metrics: Path | None = Field(
        None,
        description="File of the last night's numbers for Prometheus, read by node exporter's textfile "
        'collector: "/var/lib/node_exporter/thermal_sr.prom".',
    )
    weights: bool = Field(
        False,
        description="Keep the network that a scene taught beside its product; it may serve as a prior.",
    )
    original_files: bool | None = Field(
        None,
        description="Write the original's files under its names too: pictures, both temperatures as NPY, the "
        "scene's network as PTH; unset: where recipe.preset is original.",
    )
    institution: str = Field("", description="Where the products are made; in the store and the STAC item.")
    creator: str = Field("", description="Who made the products: a name, in the store and the STAC item.")
    publisher: str = Field("", description="Who publishes the products: a name, in the same places.")
    license: str = Field(
        "", description='License of the products, as SPDX names it ("CC-BY-4.0"); in the same places.'
    )

    @model_validator(mode="after")
    def _level_exists(self) -> OutputSettings:
        if self.cog_compression == "deflate" and self.compression > 9:
            raise ValueError(
                f"compression {self.compression} with cog_compression deflate: 1 to 9 is wanted; "
                "zstd goes to 19"
            )
        return self
