"""Pack the images that runs need, for a machine without the data: `build.py --pack`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ltzoo.data import Subset
from ltzoo.data.memory import pack
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe


def pack_images(
    recipes: Sequence[Recipe], load: Callable[[Recipe], Subset], data_dir: Path, folder: Path, hold_out: int | None
) -> None:
    """Write the images of the recipes' benchmarks: the training subsets and the test set.

    Args:
        recipes: what is to be trained.
        load: loads the training subset of a recipe.
        data_dir: has the data sets.
        folder: where to write; a folder for each data set.
        hold_out: images of each class to write in addition, for `choose.py`.

    Raises:
        InputError: there is nothing to pack, too much, or the folder has it already.
    """
    wanted: dict[str, dict[tuple[str, str], Recipe]] = {}
    for recipe in recipes:
        if recipe.natural:
            raise InputError(f"the images of {recipe.benchmark} are too many to pack; copy its folder")
        if recipe.data.data_set.name != "digits":  # comes with scikit-learn
            wanted.setdefault(recipe.data.data_set.name, {})[recipe.benchmark, recipe.subset] = recipe
    if not wanted:
        raise InputError("no missing run needs images; give other recipes or seeds")
    subsets = {data_set: [load(recipe) for recipe in of_subset.values()] for data_set, of_subset in wanted.items()}
    existing = [str(folder / data_set) for data_set in wanted if (folder / data_set).exists()]
    if existing:
        raise InputError(f"{', '.join(existing)} exists; remove it, or pack into another folder")
    for data_set, of_subset in wanted.items():
        size = pack(data_set, subsets[data_set], data_dir, folder, hold_out)
        needed = ", ".join(sorted({benchmark for benchmark, _ in of_subset}))
        print(f"{folder / data_set}: {size / 2**20:.1f} MiB, for {needed}", flush=True)
