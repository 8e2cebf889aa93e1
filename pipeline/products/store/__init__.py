"""The Zarr store, which is the product: `zarr_store` writes it tile by tile.

`attributes` and `georeference` say what and where its pixels are, `statistics` counts them while they are
written, `unsharp` makes the optional sharpened variable.
"""
