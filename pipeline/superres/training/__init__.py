"""How a network is trained on pairs: `pairs` cuts them, `loop` is the training on one page.

`losses`, `schedule` and `adam` are its parts; `state` is what a killed training goes on from.
"""
