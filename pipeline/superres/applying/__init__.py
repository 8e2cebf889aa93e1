"""How a trained network is applied to a scene of any size.

`upscaler` is the noun, `enlarge` makes one of a base or a network, `passes` combines flips, turns and
shifts, `windows` computes by tiles without seams, `method` is base, detail times gain, projection.
"""
