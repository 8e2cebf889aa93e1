"""Where each file inside a product's folder lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DamagedProductError
from pipeline.products.layout import MANIFEST, RECORD


@dataclass(frozen=True)
class ProductFiles:
    """Names of everything in one product's folder.

    Attributes:
        folder: The product's folder, published or in the making.
        scene_id: Name of the scene.
        scale: Linear enlargement.
    """

    folder: Path
    scene_id: str
    scale: int

    @property
    def stem(self) -> str:
        """What every file of the data begins with."""
        return f"{self.scene_id}_x{self.scale}"

    @property
    def store(self) -> Path:
        """The Zarr store: the product itself."""
        return self.folder / f"{self.stem}.zarr"

    @property
    def temperature_cog(self) -> Path:
        """GeoTIFF of the temperature."""
        return self.folder / f"{self.stem}.tif"

    @property
    def uncertainty_cog(self) -> Path:
        """GeoTIFF of the temperature's standard error."""
        return self.folder / f"{self.stem}_uncertainty.tif"

    @property
    def quality_cog(self) -> Path:
        """GeoTIFF of the flags."""
        return self.folder / f"{self.stem}_quality.tif"

    @property
    def weights(self) -> Path:
        """The network that the scene taught, where it is kept."""
        return self.folder / "weights.safetensors"

    @property
    def original_turbo(self) -> Path:
        """The scene as it came, in color."""
        return self.folder / "original_turbo.png"

    @property
    def enhanced_turbo(self) -> Path:
        """The product, in color."""
        return self.folder / "enhanced_turbo.png"

    @property
    def original_gray(self) -> Path:
        """The scene as it came, in gray."""
        return self.folder / "original_gray.png"

    @property
    def enhanced_gray(self) -> Path:
        """The product, in gray."""
        return self.folder / "enhanced_gray.png"

    @property
    def comparison(self) -> Path:
        """Both beside each other."""
        return self.folder / "comparison.png"

    @property
    def card(self) -> Path:
        """The quality card."""
        return self.folder / "quality_card.png"

    @property
    def page(self) -> Path:
        """The product in a browser."""
        return self.folder / "view.html"

    @property
    def item(self) -> Path:
        """The STAC item."""
        return self.folder / f"{self.stem}.stac.json"

    @property
    def record(self) -> Path:
        """How it went, with provenance."""
        return self.folder / RECORD

    @property
    def manifest(self) -> Path:
        """List of all files with their checksums; written last."""
        return self.folder / MANIFEST


def store_in(product: Path) -> Path:
    """The Zarr store in a product's folder.

    Raises:
        DamagedProductError: There is none, or there are several.
    """
    stores = list(product.glob("*.zarr"))
    if len(stores) != 1:
        raise DamagedProductError(f"{product.name}: one store is wanted, {len(stores)} were found")
    return stores[0]
