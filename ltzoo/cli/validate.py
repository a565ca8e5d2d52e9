"""`validate.py` and `python -m ltzoo validate`: measure a checkpoint."""

import argparse
import json

import torch

from ltzoo import hub
from ltzoo.cli.parser import Parser, add_data_options, run, writable
from ltzoo.data import GROUP_RULES, load_test, make_groups
from ltzoo.errors import InputError
from ltzoo.evaluate import accuracy_table, append_results, draw_classes, evaluate_model, results_row
from ltzoo.recipes import recipe_from_dict
from ltzoo.registry import create_model, find_checkpoint


def build_parser(prog: str) -> Parser:
    """Make the parser. Flags are timm's wherever timm has them."""
    parser = Parser(prog=prog, description="Measure a checkpoint on its benchmark's test set, in float32.")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a recipe's name, hf-hub:user/repo[@revision] or local-dir:path"
    )
    add_data_options(parser)
    parser.add_argument("--groups", choices=list(GROUP_RULES), help="grouping to show (the protocol's own)")
    parser.add_argument("--tta", choices=["flip"], help="average the logits of each image and its mirror image")
    parser.add_argument("--device", help="where to compute (a CUDA device if there is one)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures")
    parser.add_argument("--results-file", type=writable, metavar="CSV", help="append a row, in timm's columns")
    parser.add_argument(
        "--picture", type=writable, metavar="PNG", help="draw each class's accuracy over the class counts"
    )
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Load, measure, print; write what was asked for."""
    if arguments.picture and arguments.picture.suffix != ".png":
        raise InputError(f"--picture writes PNG, not {arguments.picture.name!r}; end the name in .png")
    folder = find_checkpoint(arguments.model)
    config = hub.read_config(folder)
    if not isinstance(config.get("recipe"), dict):
        raise InputError(f"{folder / hub.CONFIG} names no recipe, so its benchmark is unknown; train it with ltzoo")
    recipe = recipe_from_dict(config["recipe"])
    groups = make_groups(arguments.groups or recipe.groups, recipe.data)
    test = load_test(recipe.data, arguments.data_dir, arguments.download)
    model = create_model(f"local-dir:{folder}", pretrained=True)
    figures = evaluate_model(
        model,
        recipe.data,
        test,
        groups.rule,
        "last epoch" + (", logits averaged with those of the mirror image" if arguments.tta else ""),
        device=_device(arguments.device),
        flip=arguments.tta == "flip",
    )
    print(f"{arguments.model} on {recipe.benchmark}, {figures.images} test images, groups by the rule {groups.rule}")
    print(accuracy_table({figures.rule: figures}))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures.to_dict(), indent=1) + "\n", encoding="utf-8")
    if arguments.results_file:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        row = results_row(arguments.model, recipe.data.data_set.image_size, parameters, figures)
        append_results(arguments.results_file, row)
    if arguments.picture:
        draw_classes(arguments.picture, recipe.name, figures, groups)


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def main(argv: list[str] | None = None, prog: str = "validate.py") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
