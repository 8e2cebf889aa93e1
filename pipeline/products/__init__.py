"""What goes out: the Zarr store is the product, all else a view of it."""
