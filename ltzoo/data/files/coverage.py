"""What training and test split must have together: images of every class."""

from ltzoo.data.files.names import some
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError


def check_coverage(train: ImageFiles | None, test: ImageFiles | None = None) -> None:
    """See that every class has an image in each split. That the test split has no other class is seen as it is opened.

    Args:
        train: the training split; None where a model is measured that was trained on it.
        test: the split that is measured on, its labels numbered as in training; None where there is none.

    Raises:
        InputError: a split has no image of some class, or the splits' classes differ; up to five are named.
    """
    if train is not None and test is not None and test.class_names != train.class_names:
        raise InputError(f"the classes of {test.origin} are not those of {train.origin}; open it with their names")
    for files, use in ((train, "training"), (test, "test")):
        if files is None:
            continue
        empty = [name for name, count in zip(files.class_names, files.class_counts, strict=True) if not count]
        if empty:
            raise InputError(
                f"{len(empty)} of {len(files.class_names)} classes have no {use} image in {files.origin}: "
                f"{some([repr(name) for name in empty])}; add some, or leave the class out of both splits"
            )
