"""`ltzoo predict`: class names and probabilities of images without labels.

What predicts is imported once the checkpoint is found, so that help and a wrong name need not wait for it.
"""

import argparse
from pathlib import Path

from ltzoo.cli.arguments import (
    add_device_option,
    add_model_option,
    add_skip_option,
    add_tta_option,
    add_workers_option,
    at_least_one,
    check_written_files,
    writable,
)
from ltzoo.cli.parser import Parser, run
from ltzoo.registry import find_checkpoint


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Predict the classes of images with a trained model, in float32. Images are read and resized as "
        "validate does, so the logits are those that it measures.",
        epilog="--prior train gives softmax of the logits as they are, and the line `prior:` says which class prior "
        "they stand for: for cross-entropy, the shares of the classes in the training images; for LA and balanced "
        "softmax, which adjust the logits in training, these shares to the power of 1 - tau. The other priors are "
        "reached from that one: the logarithm of the new share is added to each logit, that of the old one subtracted.",
        examples=[
            "ltzoo predict --model local-dir:output/resnet50_imagefolder_vs_ssesam/seed0/checkpoint photos/new",
            "ltzoo predict --model hf-hub:USER/photos --prior uniform --topk 3 --csv found.csv a.jpg b.jpg",
        ],
    )
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGES",
        help="images, folders (searched at any depth), or lists: .txt with a path per line, .csv with a column of them",
    )
    add_model_option(parser)
    parser.add_argument(
        "--topk", type=at_least_one, default=5, metavar="K", help="classes to show of each image (%(default)s)"
    )
    parser.add_argument(
        "--prior",
        default="train",
        metavar="train|uniform|FILE",
        help="how frequent the classes are among the images: train: what the model's training assumed; uniform: all "
        "alike; FILE: a .csv with the columns class and share, or a .json object of class names and shares "
        "(%(default)s)",
    )
    add_tta_option(parser)
    files = parser.add_argument_group("images")
    files.add_argument(
        "--image-root", type=Path, metavar="DIR", help="folder that the paths in lists start from (the list's own)"
    )
    files.add_argument(
        "--image-column", default="image", metavar="NAME", help="the column of paths in a .csv (%(default)s)"
    )
    files.add_argument(
        "--image-suffix", default="", metavar="SUFFIX", help="what the names in a list lack, such as .jpg"
    )
    add_skip_option(files)
    add_workers_option(files)
    add_device_option(parser)
    files = parser.add_argument_group("files to write")
    files.add_argument("--csv", type=writable, metavar="FILE", help="a row for each image and class")
    files.add_argument("--json", type=writable, metavar="FILE", help="the same, and how it was predicted")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Find the checkpoint and predict."""
    check_written_files(arguments, {"csv": (), "json": ()})
    folder = find_checkpoint(arguments.model)

    from ltzoo.cli.predict_images import predict_images

    predict_images(arguments, folder)


def main(argv: list[str] | None = None, prog: str = "ltzoo predict") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
