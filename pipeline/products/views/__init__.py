"""What is derived from a finished store: the GeoTIFFs (`cog`), `pictures` and the quality `card`.

`all_views` lists them; `palette` and `overview` are shared by the pictures.
"""
