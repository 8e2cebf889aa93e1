"""What is derived from a finished store: the GeoTIFFs (`cog`), `pictures` and the quality `card`.

`all_views` lists them; `palette`, `overview` and `most_textured` are shared by the pictures.
"""
