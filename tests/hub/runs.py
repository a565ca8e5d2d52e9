"""Run folders whose runs ended as one wants them to have ended."""

import json
import shutil
from pathlib import Path

from ltzoo.checkpoints import write_card
from ltzoo.checkpoints.files import write_manifest
from tests.checkpoints.changes import NAME, change_config


def runs_of(checkpoint: Path, output: Path, accuracies: list[float], name: str = NAME) -> list[str]:
    """Make `OUTPUT/NAME/seedN` for each overall accuracy; the weights differ in one number."""
    runs = []
    for seed, overall in enumerate(accuracies):
        run = output / name / f"seed{seed}"
        folder = Path(shutil.copytree(checkpoint, run / "checkpoint"))
        metrics = json.loads((folder / "metrics.json").read_text()) | {"seed": seed}
        last = metrics["last"]
        last |= {"overall": overall, "per_class": [overall] * len(last["per_class"])}
        last["groups"] = {rule: dict.fromkeys(groups, overall) for rule, groups in last["groups"].items()}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        with (folder / "model.safetensors").open("r+b") as weights:
            weights.seek(-2, 2)
            weights.write(bytes([seed]))
        stated = json.loads((folder / "config.json").read_text())["metrics"]
        stated |= {"overall": overall, "groups": last["groups"]}
        change_config(folder, seed=seed, metrics=stated)
        write_card(folder)
        write_manifest(folder)
        shutil.copyfile(folder / "metrics.json", run / "metrics.json")
        runs.append(str(run))
    return runs
