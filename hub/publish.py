"""Publish checkpoints on the Hugging Face Hub, each as ORG/NAME.

`python hub/publish.py NAME|--all --org ORG [--private] [--dry-run] [--collection] [--data-dir DIR]`. A publication that
failed can be repeated: unchanged files are not sent again.
"""

import argparse
import sys
from pathlib import Path

from ltzoo.checkpoints import (
    PACKAGED,
    add_to_collection,
    list_folder,
    push_checkpoint,
    read_config,
    read_recipe,
    verify_checkpoint,
)
from ltzoo.cli.arguments import add_device_option
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError, counted
from ltzoo.recipes import differences
from ltzoo.registry import get_recipe

COLLECTION = "ltzoo: long-tailed image classification"


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="publish.py", description="Publish checkpoints on the Hugging Face Hub.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a recipe's name, or one with a seed (NAME.seed1)")
    parser.add_argument("--all", action="store_true", help="every checkpoint in the folder")
    parser.add_argument("--org", required=True, help="the Hub organisation or user to publish under")
    parser.add_argument(
        "--zoo", type=Path, default=PACKAGED, metavar="DIR", help="holds one folder per checkpoint (hub/zoo)"
    )
    parser.add_argument("--private", action="store_true", help="make the repositories private")
    parser.add_argument("--dry-run", action="store_true", help="list what would be sent, and send nothing")
    parser.add_argument("--collection", action="store_true", help=f"add them to the collection {COLLECTION!r}")
    parser.add_argument(
        "--data-dir", type=Path, help="first measure each again on these data, and refuse one that differs"
    )
    add_device_option(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Check all checkpoints, then publish them one by one."""
    if arguments.all == bool(arguments.names):
        raise InputError("give names of checkpoints or --all, not both")
    names = arguments.names or list_folder(arguments.zoo)
    if not names:
        raise InputError(f"{arguments.zoo} has no checkpoints; give another --zoo")
    for name in names:
        check(arguments.zoo / name, name, arguments)
    for name in names:
        done = push_checkpoint(
            arguments.zoo / name, f"{arguments.org}/{name}", private=arguments.private, dry_run=arguments.dry_run
        )
        verb = "would be sent" if arguments.dry_run else "sent"
        files = f"{counted(len(done.sent), 'file')} {verb} ({', '.join(done.sent)})" if done.sent else "unchanged"
        print(f"{done.repository}: {files}{f', now {done.version}' if done.version else ''}")
    if arguments.collection and not arguments.dry_run:
        print(f"collection: {add_to_collection(arguments.org, names, COLLECTION, arguments.private)}")


def check(folder: Path, name: str, arguments: argparse.Namespace) -> None:
    """Check that a checkpoint may be published under a recipe's name.

    Raises:
        InputError: it differs from its manifest or its figures, or was not trained by the recipe as registered.
    """
    recipe, config = get_recipe(name), read_config(folder)
    _, _, seed = name.partition(".seed")
    if seed and config.get("seed") != int(seed):
        raise InputError(f"{folder} holds the run of seed {config.get('seed')}, not {seed}; rename it")
    if "recipe" not in config:
        raise InputError(f"{folder} has no recipe; publish your own model with ltzoo.push_to_hub")
    if config.get("overrides"):
        changed = ", ".join(config["overrides"])
        raise InputError(f"{folder} was trained with overrides ({changed}); publish it with ltzoo.push_to_hub")
    other = differences(read_recipe(folder), recipe)
    if other:
        raise InputError(f"{folder} was not trained by the recipe {name}: it differs in {', '.join(other)}")
    verdict = verify_checkpoint(folder, arguments.data_dir, arguments.device)
    if verdict.differences:
        raise InputError(f"{folder} differs from its claims: {'; '.join(verdict.differences)}")
    if arguments.data_dir and verdict.accuracy is None:
        raise InputError(f"{folder} cannot be measured again: {verdict.unmeasured}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
