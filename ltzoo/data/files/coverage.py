"""What training and test split must have together: several classes, images of each, and none in both."""

from ltzoo.data.files.names import shown, some
from ltzoo.data.files.own import unread_lists
from ltzoo.data.files.paths import PathImages
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError


def check_coverage(train: ImageFiles | None, test: ImageFiles | None = None) -> None:
    """See that there are classes to tell apart, that each has an image in each split, and that no file is in both.

    That the test split has no other class is seen as it is opened. That images are the same in other files is seen by
    `profile_files`, which reads them.

    Args:
        train: the training split; None where a model is measured that was trained on it.
        test: the split that is measured on, its labels numbered as in training; None where there is none.

    Raises:
        InputError: there is one class, a split has no image of some class, the splits' classes differ, or both name the
            same file; up to five classes are named.
    """
    if train is not None and test is not None and test.class_names != train.class_names:
        raise InputError(f"the classes of {test.origin} are not those of {train.origin}; open it with their names")
    if train is not None:
        _check_several(train)
        check_each_class(train, "training")
    if test is not None:
        check_each_class(test, "test")
    if train is not None and test is not None:
        _check_apart(train, test)


def check_each_class(files: ImageFiles, use: str) -> None:
    """See that every class has an image in a split.

    Args:
        files: the split.
        use: what it is for, in a word.

    Raises:
        InputError: some have none; up to five are named.
    """
    empty = [name for name, count in zip(files.class_names, files.class_counts, strict=True) if not count]
    if empty:
        raise InputError(
            f"{len(empty)} of {len(files.class_names)} classes have no {use} image in {files.origin}: "
            f"{some([repr(name) for name in empty])}; add some, or leave the class out of both splits"
        )


def _check_several(train: ImageFiles) -> None:
    if len(train.class_names) != 1:
        return
    lists = [shown(str(path)) for path in unread_lists(train)]
    mend = "bring images of another class, or name another --data-dir"
    if lists:
        mend = f"{some(lists)} {'lies' if len(lists) == 1 else 'lie'} there: name the list of images as --data-dir"
    raise InputError(
        f"{train.origin} has the one class {train.class_names[0]!r}, and nothing is to be told apart; {mend}"
    )


def _check_apart(train: ImageFiles, test: ImageFiles) -> None:
    one, two = train.reader, test.reader
    if not (isinstance(one, PathImages) and isinstance(two, PathImages) and one.root == two.root):
        return
    measured = {two.name(place) for place in test.places.tolist()}
    twice = [name for name in map(one.name, train.places.tolist()) if name in measured]
    if twice:
        raise InputError(
            f"{len(twice)} of the {len(test)} images of {test.origin} are also in {train.origin}, the first is "
            f"{shown(twice[0])}; keep each in one of the two"
        )
