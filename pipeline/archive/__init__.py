"""What comes in: names of scenes, and readers that turn files into kelvin on a grid.

`discover.discover` names every scene of a folder, `read_scene` reads one. What each
product family needs lives in `readers`, what each instrument does in `sensors`.
"""

from pipeline.archive.read import read_scene

__all__ = ["read_scene"]
