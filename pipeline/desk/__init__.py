"""What an analyst asks of products that are there.

cube       products as one xarray Dataset          difference   two versions of a product, in kelvin
series     a place or an area through time         explain      what a place of a product leans on
rerun      the same product again from its record  satellite_data   one call from a file to an array
degrees    longitude and latitude of every pixel   series_page  a series as a page; map_bounds is shared
"""
