"""Verify checkpoints: hashes, card, example output, and accuracy if the data are available. Exit code 1 if one differs.

`python hub/verify.py [NAME ...] [--data-dir DIR]`. Without names, all checkpoints of the package are verified; they are
also compared with results/.
"""

import argparse
import sys
from pathlib import Path

from folders import RESULTS
from ltzoo.checkpoints import PACKAGED, list_folder, verify_checkpoint
from ltzoo.cli.arguments import add_device_option
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError, counted
from ltzoo.registry import find_checkpoint
from ltzoo.report import contradictions, read_results, zoo_path


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="verify.py", description="Verify checkpoints; exit code 1 if one differs from its claims.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a recipe's name, hf-hub:user/repo[@revision] or local-dir:path (all of the package)",
    )
    parser.add_argument("--hub", help="where to look for names first: a folder, or a Hub user or organisation")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="holds one folder per data set (data)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")
    add_device_option(parser)
    return parser


def command(arguments: argparse.Namespace) -> int:
    """Verify, print one line per checkpoint, and return 1 if one differs."""
    names = arguments.names or list_folder(PACKAGED)
    if not names:
        raise InputError("no checkpoint comes with the package; name one")
    folders = {name: find_checkpoint(name, arguments.hub, whole=True) for name in names}
    ours = [name for name, folder in folders.items() if folder.resolve() == (PACKAGED / name).resolve()]
    wrong = _contradictions(arguments.results) if ours else {}
    missing = [] if arguments.names else [name for name in wrong if name not in names]
    different = len(missing)
    for name in missing:
        print(f"{name}: DIFFERS: {wrong[name]}")
    for name, folder in folders.items():
        verdict = verify_checkpoint(folder, arguments.data_dir, arguments.device)
        found = [*verdict.differences, *([wrong[name]] if name in wrong and name in ours else [])]
        if found:
            different += 1
            print(f"{name}: DIFFERS: {'; '.join(found)}")
        elif verdict.accuracy is None:
            print(f"{name}: hashes, card and example match; accuracy not measured: {verdict.unmeasured}")
        else:
            print(f"{name}: hashes, card and example match; accuracy differs by {verdict.accuracy:.1f}")
    print(f"{counted(len(names) + len(missing), 'checkpoint')} verified, {different} different")
    return int(different > 0)


def _contradictions(results: Path) -> dict[str, str]:
    return contradictions(read_results(results), PACKAGED, zoo_path(PACKAGED, results))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
