"""The checkpoint and the small Hub of tests/checkpoints."""

from tests.checkpoints.conftest import alone, as_recipe, checkpoint, small_hub

__all__ = ["alone", "as_recipe", "checkpoint", "small_hub"]
