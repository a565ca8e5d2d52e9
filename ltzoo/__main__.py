"""The `ltzoo` command, and `python -m ltzoo`: a subcommand each for what the scripts do and more."""

import importlib
import signal
import sys
from collections.abc import Sequence

import ltzoo

COMMANDS = {
    "list": "list recipes by name",
    "show": "print one recipe with all its settings",
    "doctor": "examine this machine and recommend settings for it",
    "inspect": "check an image folder and suggest a recipe to begin with",
    "fit": "from an image folder to a model: inspect, train, measure",
    "train": "train a recipe",
    "validate": "measure a checkpoint's accuracy",
    "predict": "predict the classes of images without labels",
    "posthoc": "re-balance stored test logits without training",
    "landscape": "compute Hessian spectra, class by class",
    "subset": "write the indices of a benchmark's training images",
    "summarize": "mean and standard deviation of runs over their seeds",
}
"""Each subcommand, which is a module of `ltzoo.cli`, and what it does."""

_EXAMPLE = "ltzoo train --recipe resnet20_digitslt_vs_ssesam"


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; only its own module is imported.

    Args:
        argv: arguments, those of the process if None.

    Returns:
        The exit code: 2 for bad input.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] in (["-h"], ["--help"]):
        print(_help())
        return 0
    if arguments[:1] == ["--version"]:
        print(f"ltzoo {ltzoo.__version__}")
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        found = f"{arguments[0]!r} is no command" if arguments else "a command is missing"
        sys.stderr.write(f"ltzoo: error: {found}; there are {', '.join(COMMANDS)}; ltzoo --help describes them\n")
        return 2
    name, *rest = arguments
    return run_command(name, rest, f"ltzoo {name}")


def run_command(name: str, argv: Sequence[str], prog: str) -> int:
    """Run a subcommand; Ctrl-C while its modules are imported is one line, as it is later.

    Args:
        name: the subcommand.
        argv: its arguments.
        prog: what messages call it.

    Returns:
        The exit code: 2 for bad input, 130 for Ctrl-C.
    """
    try:
        code: int = importlib.import_module(f"ltzoo.cli.{name}").main(list(argv), prog)
        return code
    except KeyboardInterrupt:
        sys.stderr.write(f"{prog}: interrupted\n")
        return 128 + signal.SIGINT


def _help() -> str:
    lines = "\n".join(f"  {name:<10} {description}" for name, description in COMMANDS.items())
    return (
        "usage: ltzoo COMMAND ...\n\nTrain, load and measure models for long-tailed image classification.\n\n"
        f"commands:\n{lines}\n\n"
        "`ltzoo COMMAND --help` lists a command's options; `ltzoo --version` prints the version.\n\n"
        f"example:\n  {_EXAMPLE}"
    )


if __name__ == "__main__":
    sys.exit(main())
