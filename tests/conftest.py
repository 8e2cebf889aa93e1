"""What many tests share."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A busy machine is no failure: properties are judged by what they say, not by how fast.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

# Test scenes are small: a second thread costs more than it brings, ten times more on a busy machine.
torch.set_num_threads(1)

REAL_SCENES = Path(__file__).parents[1] / ".." / "shared" / "scenes"


@pytest.fixture(scope="session")
def real_scenes():
    """Folder of real scenes beside the project; the test is skipped where it is absent."""
    if not REAL_SCENES.is_dir():
        pytest.skip("no real scenes: ../shared/scenes is absent")
    return REAL_SCENES.resolve()
