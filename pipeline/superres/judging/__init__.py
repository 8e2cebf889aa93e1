"""How far a network is trusted on this scene, and how wrong a pixel may be.

`selftest` degrades the scene and recovers it; `at_x2` asks the same at x2 for a larger enlargement;
`gain` decides from both and the prior's record; `error_model` gives the uncertainty; `by_tile`,
`resolution` and `scale_alarm` are figures for the record.
"""
