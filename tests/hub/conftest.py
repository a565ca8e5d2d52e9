"""The checkpoint and the small Hub of tests/checkpoints, and the folders of a build."""

from tests.checkpoints.conftest import alone, as_recipe, checkpoint, small_hub
from tests.hub.builds import folders

__all__ = ["alone", "as_recipe", "checkpoint", "folders", "small_hub"]
