"""What is derived from a finished store: the GeoTIFFs (`cog`), `pictures`, the quality `card` and the `page`.

`all_views` lists them; `palette` and `overview` are shared by the pictures.
"""
