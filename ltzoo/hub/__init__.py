"""Checkpoints: folders in the layout of a Hub repository, written, verified, found, fetched, loaded and published."""

from ltzoo.hub.benchmark import benchmark_of
from ltzoo.hub.card import write_card
from ltzoo.hub.config import EPOCH, RECIPE, read_config, read_recipe
from ltzoo.hub.fetch import fetch
from ltzoo.hub.layout import CLASSES_PICTURE, CONFIG, CURVES_PICTURE, METRICS, SUMMARY, WEIGHTS
from ltzoo.hub.load import load_checkpoint
from ltzoo.hub.manifest import damaged_files, read_file, read_manifest
from ltzoo.hub.places import PACKAGED, find_checkpoint, list_checkpoints, list_folder
from ltzoo.hub.push import Publication, gather, push_checkpoint, push_to_hub
from ltzoo.hub.save import describe, new_checkpoint, save_checkpoint, write_model
from ltzoo.hub.verify import Verdict, verify_checkpoint

__all__ = [
    "CLASSES_PICTURE",
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
    "benchmark_of",
    "damaged_files",
    "describe",
    "fetch",
    "find_checkpoint",
    "gather",
    "list_checkpoints",
    "list_folder",
    "load_checkpoint",
    "new_checkpoint",
    "push_checkpoint",
    "push_to_hub",
    "read_config",
    "read_file",
    "read_manifest",
    "read_recipe",
    "save_checkpoint",
    "verify_checkpoint",
    "write_card",
    "write_model",
]
