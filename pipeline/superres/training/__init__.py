"""How a network is trained on pairs: `levels` and `pairs` cut them, `loop` is the training on one page.

`step` makes the next `state` of the last one, by `losses` and `schedule`; a killed training goes on from it.
"""
