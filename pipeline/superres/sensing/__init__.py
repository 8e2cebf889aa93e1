"""What a sensor sees of a finer scene, and what a scene tells of its sensor.

`prepare` makes a scene ready for the method, on `holes`, `domain` (kelvin or radiance), `native_grid`,
`spectrum` (roughness, noise) and `normalize`. `degrade` is the one forward model, on `nested_grids`.
"""
