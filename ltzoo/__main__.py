"""`python -m ltzoo COMMAND`: what the scripts do, for whoever installed the package."""

import sys
from collections.abc import Callable

from ltzoo.cli import browse, inspect, landscape, posthoc, subset, train, validate

COMMANDS: dict[str, tuple[Callable[[list[str], str], int], str]] = {
    "list": (browse.list_main, "recipes by name"),
    "show": (browse.show_main, "one recipe, whole"),
    "inspect": (inspect.main, "what an image folder is like, and which recipe to begin with"),
    "train": (train.main, "train a recipe"),
    "validate": (validate.main, "measure a checkpoint"),
    "posthoc": (posthoc.main, "re-balance stored test logits without training"),
    "landscape": (landscape.main, "the Hessian's spectrum of each class"),
    "subset": (subset.main, "which images a benchmark's training set is, as a file"),
    "summarize": (browse.summarize_main, "mean and standard deviation of runs over their seeds"),
}


def main(argv: list[str]) -> int:
    """Hand the arguments to a command; returns the exit code."""
    usage = "usage: python -m ltzoo COMMAND ...\n" + "\n".join(f"  {name:<10} {COMMANDS[name][1]}" for name in COMMANDS)
    if argv[:1] in (["-h"], ["--help"]):
        print(usage)
        return 0
    if not argv or argv[0] not in COMMANDS:
        found = f"{argv[0]!r} is no command" if argv else "a command is missing"
        sys.stderr.write(f"python -m ltzoo: error: {found}; there are {', '.join(COMMANDS)}\n")
        return 2
    return COMMANDS[argv[0]][0](argv[1:], f"python -m ltzoo {argv[0]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
