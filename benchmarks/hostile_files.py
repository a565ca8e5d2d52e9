"""Gives each reader of files damaged and hostile variants of a valid one.

`python benchmarks/hostile_files.py --minutes 60`. Each variant must come to a right value or to one clear line of
refusal. Anything else is a fault: another exception, a program started, a file opened outside the folder, memory or
time beyond a bound, a figure that is not finite. The variants follow from the seed. Needs Linux.
"""

import argparse
import hashlib
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import datasets

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "hub")]

from ltzoo.cli.arguments import at_least_one  # noqa: E402
from ltzoo.cli.parser import Parser, run  # noqa: E402
from ltzoo.errors import InputError  # noqa: E402
from ltzoo.evaluate import markdown_table  # noqa: E402
from tests.hostile.explore import READERS, explore  # noqa: E402

_BATCH, _DEAR_BATCH = 60, 6


def command(arguments: argparse.Namespace) -> int:
    """Try variants until the time is over, and print a table."""
    unknown = [name for name in arguments.reader if name not in READERS]
    if unknown:
        raise InputError(f"there is no reader {unknown[0]!r}; there are {', '.join(READERS)}")
    names = arguments.reader or list(READERS)
    found = {name: Counter[str]() for name in names}
    faults: dict[tuple[str, str], Path] = {}
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it warns of damaged cards
    datasets.disable_progress_bars()
    ends, number = time.monotonic() + 60 * arguments.minutes, arguments.seed
    while time.monotonic() < ends:
        for name in names:
            if time.monotonic() >= ends and found[name]:
                break
            reader = READERS[name]

            def keep(variant: bytes, fault: str, name: str = name) -> None:
                key = name, fault.partition(": ")[0]
                if key not in faults:
                    faults[key] = arguments.output / hashlib.sha256(variant).hexdigest()[:16]
                    arguments.output.mkdir(parents=True, exist_ok=True)
                    faults[key].write_bytes(variant)
                    print(f"{name}: {fault} ({faults[key]})", file=sys.stderr, flush=True)

            with tempfile.TemporaryDirectory() as root:
                found[name] += explore(reader, Path(root), _DEAR_BATCH if reader.dear else _BATCH, number, keep)
        number += 1
    columns = ("right", "refused", "fault")
    rows = [[name, f"{found[name].total()}", *(f"{found[name][key]}" for key in columns)] for name in names]
    total = sum(found.values(), Counter())
    rows.append(["all", f"{total.total()}", *(f"{total[key]}" for key in columns)])
    print(markdown_table(["reader", "tried", "right", "refused", "faults"], rows))
    print(f"seeds {arguments.seed} to {number - 1}, {len(faults)} different faults")
    return int(bool(faults))


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="hostile_files.py", description="Give each reader damaged and hostile files.")
    parser.add_argument("--minutes", type=float, default=60, help="how long to try (%(default)s)")
    parser.add_argument("--reader", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--seed", type=at_least_one, default=1, help="the first seed (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("hostile"), metavar="DIR", help="where files with faults are kept (hostile)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 if there was a fault."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
