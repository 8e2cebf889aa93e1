"""What other scenes teach: `weights` is the file, `train_prior` makes it, `left_out` measures it.

A prior is measured on scenes of places that it was not trained on, and keeps that record with it.
"""
