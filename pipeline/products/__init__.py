"""What goes out: the Zarr store is the product, all else a view of it.

    store/ ─────► views/ (cog, pictures, card, page) ──► stac ──► publish ──► catalog
    every pixel   from the store                         item     manifest    from what is
    once                                                          and rename  published

`layout` knows every path, `publish` makes a folder visible, `stac` and `catalog` list what is there.
"""
