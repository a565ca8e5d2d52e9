"""Checkpoints: folders in the layout of a Hub repository. Save, load, find, download, verify and publish them."""

from ltzoo.checkpoints.card import COLUMN_TITLES, write_card
from ltzoo.checkpoints.config import EPOCH, RECIPE, benchmark_of, evaluated_epoch, read_config, read_recipe, read_view
from ltzoo.checkpoints.download import fetch
from ltzoo.checkpoints.files import (
    CLASSES_PICTURE,
    CONFIG,
    CURVES_PICTURE,
    METRICS,
    SUMMARY,
    WEIGHTS,
    damaged_files,
    read_file,
    read_manifest,
)
from ltzoo.checkpoints.find import PACKAGED, find_checkpoint, list_checkpoints, list_folder
from ltzoo.checkpoints.load import load_checkpoint, loading_library
from ltzoo.checkpoints.save import new_checkpoint, save_checkpoint, update_config, write_model
from ltzoo.checkpoints.upload import Publication, add_to_collection, push_checkpoint, push_to_hub
from ltzoo.checkpoints.verification import Verdict, verify_checkpoint

__all__ = [
    "CLASSES_PICTURE",
    "COLUMN_TITLES",
    "CONFIG",
    "CURVES_PICTURE",
    "EPOCH",
    "METRICS",
    "PACKAGED",
    "RECIPE",
    "SUMMARY",
    "WEIGHTS",
    "Publication",
    "Verdict",
    "add_to_collection",
    "benchmark_of",
    "damaged_files",
    "evaluated_epoch",
    "fetch",
    "find_checkpoint",
    "list_checkpoints",
    "list_folder",
    "load_checkpoint",
    "loading_library",
    "new_checkpoint",
    "push_checkpoint",
    "push_to_hub",
    "read_config",
    "read_file",
    "read_manifest",
    "read_recipe",
    "read_view",
    "save_checkpoint",
    "update_config",
    "verify_checkpoint",
    "write_card",
    "write_model",
]
