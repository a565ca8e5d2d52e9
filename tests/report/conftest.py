"""The checkpoint of a finished run, as tests/hub has it."""

from tests.checkpoints.conftest import as_recipe, checkpoint

__all__ = ["as_recipe", "checkpoint"]
