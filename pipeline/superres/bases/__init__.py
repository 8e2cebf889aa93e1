"""What needs no learning: closed-form enlargements and the last step that makes an answer consistent.

`base` gives bicubic, back-projected and Tikhonov, on `filters`; `hot_spots` keeps fires from ringing;
`projection` changes an answer until the sensor, looking at it, sees the scene.
"""
