"""What goes out: the Zarr store is the product, all else a view of it.

    zarr_store ──► views (cog, preview, card) ──► stac ──► publish ──► catalog
    every pixel    from the store                 item     manifest    from what is
    once                                                   and rename  published

`layout` knows every path, `georeference` and `attributes` how place and meaning are
written down, `escape` makes words from files harmless.
"""
