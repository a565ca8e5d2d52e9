"""`ltzoo landscape`: the Hessian's spectrum of each class."""

import argparse
from pathlib import Path

from ltzoo.cli.arguments import add_data_options, add_device_option, at_least_one, parse_seed
from ltzoo.cli.parser import Parser, run
from ltzoo.data import GROUP_RULES, make_groups, read_subset
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table
from ltzoo.landscape import AnalysedImages, Analysis, Settings, parse_class_sets, plots_of, ratio, read_checkpoints


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Measure, class by class, whether training ended in a minimum or at a saddle point: lowest and "
        "highest eigenvalue, density and trace of the Hessian of a class's, a group's or the whole training loss, as "
        "landscape.json and pictures.",
        examples=[
            "ltzoo landscape --model resnet20_digitslt_ce_sgd resnet20_digitslt_ce_sam --classes 0,8,tail "
            "--output output/landscape"
        ],
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="NAME|DIR",
        help="a recipe's name, hf-hub:user/repo[@revision], or the folder of a checkpoint; several are compared",
    )
    parser.add_argument(
        "--checkpoints",
        nargs="+",
        default=[],
        metavar="DIR",
        help="checkpoints kept during training (train --save-epochs), RUN/epochs/epoch*",
    )
    parser.add_argument(
        "--classes",
        default="head,tail,all",
        metavar="SETS",
        help="classes by index or name, the groups head (many-shot), mid (medium-shot) and tail (few-shot), all "
        "(together), each (one by one); separated by commas (%(default)s)",
    )
    add_data_options(parser)
    parser.add_argument("--subset", type=Path, metavar="FILE", help="subset file that names the training images")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted analysis, or begin it")
    parser.add_argument("--groups", choices=list(GROUP_RULES), help="rule of the groups (the protocol's own)")
    add_device_option(parser)

    how = parser.add_argument_group("what is computed, and how")
    how.add_argument(
        "--loss",
        choices=["ce", "recipe"],
        default="ce",
        help="cross-entropy, or the recipe's own loss with its class weights (%(default)s)",
    )
    how.add_argument(
        "--augment",
        action="store_true",
        help="crop and flip anew for each product (as Rangwani 2022)",
    )
    how.add_argument("--precision", choices=["float32", "float64"], default="float32", help="(%(default)s)")
    how.add_argument("--probes", type=at_least_one, default=3, metavar="N", help="random vectors (%(default)s)")
    how.add_argument(
        "--tolerance",
        type=float,
        default=0.001,
        metavar="T",
        help="largest residual of an extreme eigenvalue, relative to it (%(default)s)",
    )
    how.add_argument(
        "--max-steps",
        type=at_least_one,
        default=200,
        metavar="N",
        help="Lanczos steps after which a spectrum ends, converged or not (%(default)s)",
    )
    how.add_argument("--chunk", type=at_least_one, default=64, metavar="N", help="images per pass (%(default)s)")
    how.add_argument("--seed", type=parse_seed, default=0, metavar="N", help="seed of the random vectors (%(default)s)")
    how.add_argument(
        "--slice",
        type=float,
        metavar="REACH",
        help="also compute the loss on the plane of the two extreme eigenvectors, up to this distance from the weights",
    )
    how.add_argument("--slice-points", type=at_least_one, metavar="N", help="points per side of that plane, odd (21)")
    how.add_argument(
        "--escape",
        action="store_true",
        help="also compute how far SGD, SAM, ImbSAM and SSE-SAM move along the most negative curvature",
    )
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure, draw, print a table."""
    if arguments.slice_points and arguments.slice is None:
        raise InputError("--slice-points says how fine --slice is; add --slice REACH")
    settings = Settings(
        loss=arguments.loss,
        augment=arguments.augment,
        precision=arguments.precision,
        probes=arguments.probes,
        tolerance=arguments.tolerance,
        most_steps=arguments.max_steps,
        seed=arguments.seed,
        slice_reach=arguments.slice,
        slice_points=arguments.slice_points or Settings.slice_points,
        escape=arguments.escape,
        chunk=arguments.chunk,
    )
    if not (arguments.model or arguments.checkpoints):
        raise InputError("nothing to analyse; name a --model, or --checkpoints that were kept during training")
    checkpoints = read_checkpoints(arguments.model, arguments.checkpoints)
    recipe = checkpoints[0].recipe
    if recipe.natural:
        raise InputError(f"landscape holds its images in memory, and those of {recipe.benchmark} are files")
    if recipe.input is not None:
        raise InputError(f"landscape takes images in their own size, and {recipe.name} enlarges them")
    groups = make_groups(arguments.groups or recipe.groups, recipe.data)
    sets = parse_class_sets([word for word in arguments.classes.split(",") if word], recipe.data, groups)
    wanted = recipe.subset if arguments.subset is None else read_subset(arguments.subset)
    images = AnalysedImages(*load_train(recipe.data, wanted, arguments.data_dir, arguments.download))
    analysis = Analysis(arguments.output, recipe, groups, images, settings, arguments.device, arguments.resume)
    document = analysis.run(checkpoints, sets)
    pictures = plots_of(document)
    for name, draw in pictures.items():
        draw(arguments.output / name)
    print(_table(document))
    print(f"{arguments.output}: landscape.json {' '.join(pictures)}")


def _table(document: dict) -> str:
    """Format a table with one row per spectrum."""
    columns = ["model", "epoch", "set", "images", "loss", "lambda_min", "lambda_max", "|min / max|", "trace"]
    rows = []
    for row in document["spectra"]:
        low, high, error = row["lambda_min"], row["lambda_max"], row["trace_error"]
        rows.append(
            [
                row["model"],
                str(row["epoch"]),
                row["set"],
                str(row["images"]),
                f"{row['loss']:.4f}",
                f"{low:.4g}" + ("" if row["converged"] else " (not converged)"),
                f"{high:.4g}",
                f"{ratio(low, high):.4f}",
                f"{row['trace']:.4g}" + ("" if error is None else f" ± {error:.2g}"),
            ]
        )
    return markdown_table(columns, rows)


def main(argv: list[str] | None = None, prog: str = "ltzoo landscape") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
