"""What file formats hold, whatever the product: `geotiff`, `netcdf`, `npz`, `hdfeos`, `mtl`.

`cf_place` and `cf_variable` read the CF conventions; `hdf5_links` sees links out of a file before they
are followed.
"""
