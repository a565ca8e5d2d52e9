"""The model card that the Hub shows: written from `config.json` and `metrics.json` alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from yaml import YAMLError

from ltzoo.atomic_write import write_text
from ltzoo.checkpoints.config import EPOCH
from ltzoo.checkpoints.files import CARD, CLASSES_PICTURE, CONFIG, CURVES_PICTURE, METRICS, read_file
from ltzoo.checkpoints.load import loading_library
from ltzoo.checkpoints.pretraining import began_with_lines, licence_of
from ltzoo.data import HOLD_OUT, NATURAL_BENCHMARKS, get_benchmark
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import Figures, escape_markdown, markdown_table
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import read_json
from ltzoo.reading.yaml_text import parse_yaml
from ltzoo.recipes import CITATIONS, to_yaml

IN_THIS_FOLDER = "local-dir:."
"""The address of a checkpoint that is not published."""

EARLIER_PARTS = "earlier_parts"
"""The key of `config.json`, under `run`, of the parts of a run that were computed on another machine, with other
threads or other versions, in their order: `machine`, `threads` and `versions` of each, and the `epochs` and the `steps`
of the next one that were trained when it ended. Absent if there are none."""

_LOWEST = 10
"""How many classes are named with their accuracy."""

COLUMN_TITLES = {
    "overall": "overall",
    "head": "head (many-shot)",
    "mid": "mid (medium-shot)",
    "tail": "tail (few-shot)",
}
"""The columns of tables of accuracies, with their titles."""


def write_card(folder: Path, address: str = IN_THIS_FOLDER) -> None:
    """Write a checkpoint's card.

    Args:
        folder: the checkpoint, with its `config.json` and, if it has figures, its `metrics.json`.
        address: the name that the card's example passes to `create_model`.
    """
    config = read_json(folder / CONFIG)
    metrics = read_json(folder / METRICS) if (folder / METRICS).is_file() else None
    header = f"---\n{card_data(config, metrics).to_yaml()}\n---\n"
    write_text(folder / CARD, header + "\n" + "\n".join(_body(config, metrics, address)))


def read_card_data(folder: Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint's card.

    Raises:
        InputError: the card cannot be read, or its metadata are no YAML.
    """
    text = read_card(folder)
    try:
        header = text.split("\n---", 1)[0]
        if header.startswith("---"):
            parse_yaml(header[3:])  # the client would write out an alias of aliases
        return ModelCard(text, ignore_metadata_errors=True).data.to_dict()
    except (ContentError, YAMLError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the metadata of {folder / CARD} cannot be read ({first_line(error)[:160]})") from error


def read_card(folder: Path) -> str:
    """Read a checkpoint's card.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_file(folder, CARD, megabytes=1).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{folder / CARD} is not UTF-8") from error


def card_data(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> ModelCardData:
    """Build the metadata that the Hub reads: licence, library, tags, data set, and the last epoch's accuracies.

    Args:
        config: the content of `config.json`.
        metrics: the content of `metrics.json`, None without figures.
    """
    tags = ["image-classification", "timm", "ltzoo"]
    recipe = config.get("recipe")
    if recipe is None:
        return ModelCardData(library_name="timm", pipeline_tag=tags[0], tags=tags)  # of an unknown licence
    name = recipe["benchmark"]
    data_set = NATURAL_BENCHMARKS[name] if name in NATURAL_BENCHMARKS else get_benchmark(name).data_set
    results = []
    if metrics is not None:
        figures = Figures.from_dict(metrics["last"])
        rule = next(iter(figures.groups))
        results = [
            EvalResult(
                task_type="image-classification",
                dataset_type=data_set.hub_id or data_set.name,
                dataset_name=name,
                dataset_split="train" if _held_out(config) else "test",
                metric_type="accuracy",
                metric_name=f"{group} accuracy, {figures.rule}" + ("" if group == "overall" else f", groups by {rule}"),
                metric_value=round(value, 2),
            )
            for group, value in figures.headline.items()
            if value is not None
        ]
    licence, licence_name = licence_of(config, recipe)
    return ModelCardData(
        license=licence,
        license_name=licence_name,
        library_name=loading_library(config["architecture"]),
        pipeline_tag=tags[0],
        tags=[*tags, "long-tailed", name, recipe["loss"]["name"], recipe["perturbation"]["name"]],
        datasets=[data_set.hub_id] if data_set.hub_id else None,
        model_name=recipe["name"],
        eval_results=results or None,
    )


def _body(config: Mapping[str, Any], metrics: Mapping[str, Any] | None, address: str) -> list[str]:
    recipe = config.get("recipe")
    lines = [f"# {recipe['name'] if recipe else config['architecture']}", ""]
    lines += [] if recipe is None else [*_origin(config, recipe), ""]
    lines += ["## Use", "", *_use(config, address), ""]
    if recipe is not None and metrics is not None:
        test = "the test set" if recipe["benchmark"] in NATURAL_BENCHMARKS else "the balanced test set"
        images = "images held out of the training split" if _held_out(config) else test
        lines += ["## Figures", "", *_figures(images, recipe, metrics), "", *_lowest(config, metrics), ""]
    if recipe is not None:
        shown = {key: value for key, value in recipe.items() if key != "published"}
        lines += ["## Recipe", "", "```yaml", to_yaml(shown).rstrip("\n"), "```", ""]
        cited = [CITATIONS[key] for key in recipe["source"]["cites"] if key in CITATIONS]
        lines += ["## Citation", "", "```bibtex", *cited, "```", ""] if cited else []
    return lines


def _origin(config: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Describe how the weights were trained."""
    counts, changed = config["class_counts"], config.get("overrides") or {}
    epochs = recipe["schedule"]["epochs"]
    reached = f"Epoch {config[EPOCH]}" if EPOCH in config else "Last epoch"
    trained = f"{reached} of {epochs}" if epochs else "The head is computed, not trained"
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    lines = [
        f"`{config['architecture']}`, trained on `{recipe['benchmark']}` ({sum(counts)} images of {len(counts)} "
        f"classes, {max(counts)} to {min(counts)} per class) by the recipe `{recipe['name']}` of "
        "[ltzoo](https://huggingface.co/ltzoo), a model zoo for long-tailed image classification.",
        f"{trained}, seed {config['seed']}; training images: SHA-256 of the indices "
        f"`{config['subset_sha256']}` ({config['subset_layout']}); {versions}.",
    ]
    first = recipe["start"].get("recipe")
    if first:
        other = config["run"].get("start_seed")
        own = "its head" if recipe["trainable"]["weights"] == "head" else "the second stage"
        which = "the same seed" if other is None else f"seed {other}: the seed of this run is that of {own} alone"
        lines.append(f"A second stage: training began with the weights of `{first}` of {which}.")
    lines += began_with_lines(config, recipe)
    if changed:
        fields = ", ".join(f"`{key}` {used} for {registered}" for key, (registered, used) in changed.items())
        lines.append(f"**Not the registered recipe**: {fields}.")
    return lines


def _lowest(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Name the classes with the lowest accuracies."""
    figures, names = Figures.from_dict(metrics["last"]), config["label_names"]
    lowest = sorted(range(len(names)), key=lambda j: figures.per_class[j])[:_LOWEST]
    what = "Each class" if len(names) <= _LOWEST else f"The {_LOWEST} classes with the lowest accuracy"
    rows = [[escape_markdown(names[j]), f"{figures.per_class[j]:.1f}", str(figures.class_counts[j])] for j in lowest]
    return [f"{what}, from the lowest accuracy on:", "", markdown_table(["class", "accuracy", "training images"], rows)]


def _use(config: Mapping[str, Any], address: str) -> list[str]:
    size = ", ".join(str(side) for side in config["pretrained_cfg"]["input_size"])
    library, why = loading_library(config["architecture"]), "registers the architecture with timm"
    if library == "timm" and not address.startswith(("local-dir:", "hf-hub:")):
        library, why = "ltzoo", "finds the checkpoint by its name"
    return [
        "```python",
        "import timm",
        "import torch",
        "",
        *([f"import ltzoo  # {why}", ""] if library == "ltzoo" else []),
        f'model = {library}.create_model("{address}", pretrained=True).eval()',
        "transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))  # for PIL images",
        f"logits = model(torch.zeros(1, {size}))",
        "```",
    ]


def _held_out(config: Mapping[str, Any]) -> bool:
    """Return whether the figures were measured on images held out of the training split."""
    return HOLD_OUT in (config.get("overrides") or {})


def _figures(images: str, recipe: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    rule = next(iter(metrics["last"]["groups"]))
    return [
        f"Accuracy in per cent on {images}, groups by the rule `{rule}`; every class and other "
        f"groupings are in `{METRICS}`.",
        "",
        figures_table(recipe, metrics),
        "",
        f"![accuracy of each class over its training images]({CLASSES_PICTURE})",
        *([f"![training curves]({CURVES_PICTURE})"] if recipe["schedule"]["epochs"] else []),
    ]


def figures_table(recipe: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Lay out the measured figures above the published ones, as a Markdown table.

    Args:
        recipe: the key `recipe` of `config.json`.
        metrics: the content of `metrics.json`.
    """
    rows = []
    for key in ("last", "best", "paper"):
        if metrics.get(key) is not None:
            figures = Figures.from_dict(metrics[key])
            rows.append([f"measured, {figures.rule}", *_cells(figures.headline)])
    for printed in recipe["published"]:
        runs = f", mean of {printed['n']}" if (printed["n"] or 1) > 1 else ""
        label = f"published, {printed['paper']}, {printed['table']}, {printed['row']}{runs}"
        rows.append([label, *_cells(printed["mean"])])
    return markdown_table(["", *COLUMN_TITLES.values()], rows)


def _cells(accuracy: Mapping[str, float | None]) -> list[str]:
    values = [accuracy.get(column) for column in COLUMN_TITLES]
    return ["" if value is None else f"{value:.1f}" for value in values]
