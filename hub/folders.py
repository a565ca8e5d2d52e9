"""Where the zoo's scripts keep checkpoints and results, and the options that name other folders."""

from pathlib import Path

from ltzoo.cli.parser import Parser
from ltzoo.errors import InputError

ZOO, RESULTS = Path(__file__).parent / "zoo", Path(__file__).parents[1] / "results"


def add_zoo_options(parser: Parser) -> None:
    """Add `--zoo` and `--results`."""
    parser.add_argument("--zoo", type=Path, default=ZOO, metavar="DIR", help="where checkpoints are kept (hub/zoo)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")


def check_folders(*folders: Path) -> None:
    """Check that folders can be written to: each is one, or does not exist yet.

    Raises:
        InputError: a file is in the place of one.
    """
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give another one")
