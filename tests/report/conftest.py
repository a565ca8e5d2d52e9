"""The checkpoint of a finished run, as tests/hub has it."""

from tests.hub.conftest import as_recipe, checkpoint

__all__ = ["as_recipe", "checkpoint"]
