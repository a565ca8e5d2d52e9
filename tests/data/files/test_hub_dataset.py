"""Data sets of the Hub: local copies in every form, fetched ones by their revision, and columns that do not fit."""

import importlib
import io
import os
import sys
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from timm.data.readers import create_reader

from ltzoo.data.files import check_coverage, check_present
from ltzoo.errors import InputError
from tests.checkpoints.hub_session import HUB
from tests.data.files.dataset_hub import NAME, DataSetHub
from tests.data.files.trees import check_reader, content_of, encoded, opened, plant, refused

datasets = pytest.importorskip("datasets")

ROWS = (("a.png", "dog"), ("b.jpg", "cat"), ("é.png", "dog"))
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache, offline, no word about progress."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache" / "datasets"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    datasets.disable_progress_bars()


def table(rows=ROWS, image="image", label="label"):
    images = [None if name is None else {"bytes": encoded(name), "path": name} for name, _ in rows]
    return pa.table({image: pa.array(images, IMAGE), label: pa.array([text for _, text in rows])})


def parquet(rows=ROWS, **columns) -> bytes:
    content = io.BytesIO()
    pq.write_table(table(rows, **columns), content)
    return content.getvalue()


def write(folder, **splits):
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        (folder / "data" / f"{split}-00000-of-00001.parquet").write_bytes(parquet(rows))
    return folder


def hub(folder):
    return Path(f"hfds/{folder}")


def test_parquet_files_are_read(tmp_path):
    place = hub(write(tmp_path / "copy", train=ROWS, test=ROWS[:2]))
    train = opened(place)
    assert content_of(train) == [("train/0/a.png", "dog"), ("train/1/b.jpg", "cat"), ("train/2/é.png", "dog")]
    assert (train.class_names, train.origin) == (("cat", "dog"), f"{place}, split train")
    check_reader(train, [name for name, _ in ROWS])
    check_present(train)
    test = opened(place, "val", ("dog", "cat"))
    assert (content_of(test), test.labels.tolist()) == ([("test/0/a.png", "dog"), ("test/1/b.jpg", "cat")], [0, 1])


@pytest.mark.parametrize("kind", ["parquet", "saved", "saved split", "folder", "shuffled"])
def test_every_form_of_a_copy_is_read(tmp_path, kind):
    folder, names = tmp_path / "copy", [name for name, _ in ROWS]
    rows = datasets.Dataset(table()).cast_column("image", datasets.Image())
    if kind == "parquet":
        rows.cast_column("label", datasets.ClassLabel(names=["cat", "dog"])).to_parquet(folder / "train.parquet")
    elif kind == "saved":
        datasets.DatasetDict({"train": rows}).save_to_disk(folder)
    elif kind == "saved split":
        rows.save_to_disk(folder)
    elif kind == "shuffled":
        names = [names[k] for k in (2, 0, 1)]
        datasets.DatasetDict({"train": rows.select([2, 0, 1])}).save_to_disk(folder)
    else:
        names = ["cat/b.jpg", "dog/a.png", "dog/é.png"]
        plant(folder / "train", *names)
    train = opened(hub(folder))
    check_reader(train, names)
    assert sorted(content_of(train)) == sorted(
        (f"train/{k}/{Path(name).name}", "cat" if "b.jpg" in name else "dog") for k, name in enumerate(names)
    )


def test_images_behind_a_link_are_read_and_only_their_own_links_are_followed(tmp_path, monkeypatch):
    plant(tmp_path / "copy" / "train", "cat/b.jpg", "dog/a.png", "dog/é.png")
    (tmp_path / "link").symlink_to("copy")
    train = opened(hub(tmp_path / "link"))
    followed, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: followed.append(path.name) or resolve(path))
    check_reader(train, ["cat/b.jpg", "dog/a.png", "dog/é.png"])
    followed.clear()
    for index in range(3):
        train.content(index)
    assert followed == ["b.jpg", "a.png", "é.png"]


@pytest.mark.parametrize("kind", ["parquet", "saved", "folder"])
def test_a_rewritten_copy_has_another_stamp(tmp_path, kind):
    folder = tmp_path / "copy"

    def written(rows) -> str:
        if kind == "parquet":
            datasets.Dataset(table(rows)).to_parquet(folder / "train.parquet")
        elif kind == "saved":
            datasets.DatasetDict({"train": datasets.Dataset(table(rows))}).save_to_disk(folder)
        else:
            plant(folder / "train", *(f"{label}/{name}" for name, label in rows))
        return opened(hub(folder)).stamped_layout()

    before = written(ROWS)
    assert opened(hub(folder)).stamped_layout() == before
    assert written(ROWS) != before


def test_images_without_names_are_read(tmp_path):
    rows = pa.table({"image": pa.array([encoded(name) for name, _ in ROWS]), "label": [1, 0, 1]})
    datasets.Dataset(rows).to_parquet(tmp_path / "copy" / "train.parquet")
    train = opened(hub(tmp_path / "copy"))
    check_reader(train, [name for name, _ in ROWS])
    assert [train.name(k) for k in range(3)] == ["train/0", "train/1", "train/2"]


def test_labels_and_order_are_those_of_timm(tmp_path):
    rows = datasets.Dataset(table()).cast_column("label", datasets.ClassLabel(names=["emu", "dog", "cat"]))
    rows.cast_column("image", datasets.Image()).to_parquet(tmp_path / "copy" / "train.parquet")
    train, reader = opened(hub(tmp_path / "copy")), create_reader(f"hfds/{tmp_path}/copy", split="train")
    assert dict(zip(train.class_names, range(3), strict=True)) == reader.class_to_idx
    assert [(train.content(k), label) for k, label in enumerate(train.labels.tolist())] == [
        (image.read(), label) for image, label in (reader[k] for k in range(len(reader)))
    ]
    refused("^1 of 3 classes have no training image in .*: 'emu'; add", check_coverage, train)


def test_timm_leaves_labels_that_are_texts_as_texts_and_hidden_labels_as_minus_one(tmp_path):
    """Why timm's reader is not used: neither is a class."""
    folder = write(tmp_path / "copy", train=ROWS)
    assert [label for _, label in create_reader(f"hfds/{folder}", split="train")] == ["dog", "cat", "dog"]
    assert opened(hub(folder)).labels.tolist() == [1, 0, 1]
    rows = datasets.Dataset(table([("a.png", 0), ("b.png", -1)]))
    rows = rows.cast(datasets.Features({**rows.features, "label": datasets.ClassLabel(names=["x"])}))
    rows.to_parquet(tmp_path / "hidden" / "train.parquet")
    assert [label for _, label in create_reader(f"hfds/{tmp_path}/hidden", split="train")] == [0, -1]
    refused("has no label in row 1, but -1; use", opened, hub(tmp_path / "hidden"))


def test_real_cifar(tmp_path):
    folder = os.environ.get("LTZOO_DATA")
    if not folder:
        pytest.skip("LTZOO_DATA names no folder with CIFAR")
    test = opened(hub(Path(folder).absolute() / "cifar10"), "test", image_column="img")
    assert test.class_counts == (1000,) * 10
    assert test.class_names[:2] == ("airplane", "automobile")
    assert test.image(0).size == (32, 32)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 10], ("9", "10")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["x", " x ", "y"], ("x", "y")),
        ([True, False, True], ("False", "True")),
    ],
)
def test_labels_without_names_are_those_of_lists(tmp_path, labels, names):
    rows = [(f"{k}.png", label) for k, label in enumerate(labels)]
    train = opened(hub(write(tmp_path / "copy", train=rows)))
    assert train.class_names == names
    assert [train.class_names[label] for label in train.labels] == [str(label).strip() for label in labels]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (
            [0.5, 1.0, 2.0],
            "the column 'label' of .*, split train has no labels but .*float64.*; name another with --l",
        ),
        ([[0], [1], [0, 1]], "has no labels but List"),
        (["x", None, "y"], "split train has no label in row 1, but None; use a split with labels"),
        (["x", "X", "y"], "the labels 'X' and 'x' of .*, split train differ only in case, and would be two classes"),
        (["x", " ", "y"], "the class name '' of .* has 0 characters"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, labels, found):
    refused(found, opened, hub(write(tmp_path / "copy", train=[(f"{k}.png", x) for k, x in enumerate(labels)])))


def test_classes_that_the_data_set_names_itself_may_differ_in_case(tmp_path):
    rows = datasets.Dataset(table([("a.png", 0), ("b.png", 1)]))
    rows.cast_column("label", datasets.ClassLabel(names=["A", "a"])).to_parquet(tmp_path / "copy" / "train.parquet")
    assert content_of(opened(hub(tmp_path / "copy"))) == [("train/0/a.png", "A"), ("train/1/b.png", "a")]


def test_columns_are_named(tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "train.parquet").write_bytes(parquet(image="img", label="fine"))
    refused("has no column 'image', its columns are 'img', 'fine'; name one with --image-column", opened, hub(folder))
    refused("has no column 'label', .* --label-column", opened, hub(folder), image_column="img")
    refused(
        "the column 'fine' of .* has no images but .*; name another with --image-column",
        opened,
        hub(folder),
        image_column="fine",
        label_column="fine",
    )
    assert len(opened(hub(folder), image_column="img", label_column="fine")) == 3


def test_a_row_without_an_image_is_named(tmp_path):
    train = opened(hub(write(tmp_path / "copy", train=[*ROWS, (None, "cat")])))
    refused(r"^train/3 of hfds/.*, split train cannot be read \(the row has no image\)", train.content, 3)


@pytest.mark.parametrize("error", [pa.ArrowIOError, pa.ArrowInvalid, pa.ArrowNotImplementedError, SystemError])
def test_damaged_rows_are_named(tmp_path, monkeypatch, error):
    def damaged(rows, key):
        raise error("a row that is\nnone")

    train = opened(hub(write(tmp_path / "copy", train=ROWS)))
    monkeypatch.setattr(datasets.Dataset, "__getitem__", damaged)
    refused(r"^train/1/b.jpg of hfds/.*, split train cannot be read \(a row that is\); check that", train.content, 1)
    refused(
        r"^the column 'label' of .*, split train cannot be read \(a row that is\); download or write it again$",
        opened,
        hub(tmp_path / "copy"),
    )


def test_a_copy_that_is_damaged_within_is_refused(tmp_path):
    datasets.Dataset(table()).save_to_disk(tmp_path / "copy")
    (file,) = (tmp_path / "copy").glob("*.arrow")
    content = bytearray(file.read_bytes())
    at = content.index((3).to_bytes(4, "little") + (6).to_bytes(4, "little") + (9).to_bytes(4, "little"))  # dog cat dog
    content[at : at + 4] = (-3).to_bytes(4, "little", signed=True)
    file.write_bytes(content)
    refused("the column 'label' of .*, split train cannot be read", opened, hub(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("splits", "split", "found"),
    [
        ({"dev": ROWS}, "train", "has no split train"),
        ({"test": ROWS}, "train", "has no split train, only test; name one that has"),
    ],
)
def test_a_split_that_is_not_there_is_named(tmp_path, splits, split, found):
    rows = {name: datasets.Dataset(table(entries)) for name, entries in splits.items()}
    datasets.DatasetDict(rows).save_to_disk(tmp_path / "copy")
    refused(f"{found}|has the splits dev, not train, validation, val or test", opened, hub(tmp_path / "copy"), split)


def test_an_empty_split_is_refused(tmp_path, monkeypatch):
    none = {"train": datasets.Dataset(table(ROWS[:0]))}
    datasets.DatasetDict(none).save_to_disk(tmp_path / "saved")
    for folder in (write(tmp_path / "copy", train=ROWS[:0], test=ROWS), tmp_path / "saved"):
        refused(f"{folder.name} cannot be loaded .*; check that it is a data set", opened, hub(folder))
    monkeypatch.setattr(datasets, "load_dataset", lambda path: none)
    refused("split train has no image; check that it is the right data set", opened, hub(tmp_path / "copy"))


def test_two_names_of_a_split_are_refused(tmp_path):
    rows = datasets.Dataset(table())
    datasets.DatasetDict({"train": rows, "validation": rows, "val": rows}).save_to_disk(tmp_path / "copy")
    refused("has both splits validation and val; use a copy", opened, hub(tmp_path / "copy"))


def test_what_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    refused("hfds/.*empty cannot be loaded .*; check that it is a data set", opened, hub(tmp_path / "empty"))
    write(tmp_path / "damaged", train=ROWS)
    (tmp_path / "damaged" / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 no more")
    refused("damaged cannot be loaded .*arquet.*; check", opened, hub(tmp_path / "damaged"))
    refused("--image-root is for paths in lists", opened, hub(tmp_path / "empty"), image_root=tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused(r"needs the package datasets; install it with pip install datasets$", opened, Path("hfds/a/b"))


def test_a_folder_that_is_called_so_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / "hfds" / "me", "cat/a.png")
    assert opened(Path("hfds/me")).class_names == ("cat",)
    write(tmp_path / "mine" / "copy", train=ROWS)
    assert len(opened(Path("hfds/mine/copy"))) == 3


@pytest.fixture
def fake_hub(monkeypatch):
    """A Hub that has nothing yet, and a client that is online."""
    handler = DataSetHub.with_nothing()
    huggingface_hub.close_session()  # its connections are to what answered before
    monkeypatch.setattr(HUB.server, "RequestHandlerClass", handler)
    HUB.start()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    yield handler
    huggingface_hub.close_session()


def test_without_a_network_nothing_is_fetched(fake_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(
        r"^hfds/me/tiny cannot be loaded \(.*Connection refused\); check the network, or leave --d",
        opened,
        Path(f"hfds/{NAME}"),
        download=True,
    )


def files_of(rows):
    return {"README.md": b"# Tiny\n", "data/train-00000-of-00001.parquet": parquet(rows)}


def test_what_the_hub_has_is_fetched_when_asked_for_and_kept(fake_hub):
    first = fake_hub.commit(files_of(ROWS[:2]), "main", "v1")
    place = Path(f"hfds/{NAME}")
    refused("hfds/me/tiny cannot be loaded .*; check its name, and add --download to fetch it", opened, place)
    assert fake_hub.asked == []
    assert content_of(opened(place, download=True)) == [("train/0/a.png", "dog"), ("train/1/b.jpg", "cat")]
    assert not datasets.config.HF_HUB_OFFLINE
    fake_hub.asked.clear()
    check_reader(opened(place), ["a.png", "b.jpg"])
    assert len(opened(Path(f"{place}@{first}"))) == 2
    refused("revision v1 was not fetched before", opened, Path(f"{place}@v1"))
    assert fake_hub.asked == []
    assert len(opened(Path(f"{place}@v1"), download=True)) == len(opened(Path(f"{place}@v1"))) == 2


def test_a_revision_is_never_another(fake_hub):
    first = fake_hub.commit(files_of(ROWS[:2]), "v1")
    second = fake_hub.commit(files_of(ROWS), "v2", "main")
    at = {version: Path(f"hfds/{NAME}@{version}") for version in ("v1", "v2", first, "v3")}
    assert len(opened(at["v1"], download=True)) == 2
    assert len(opened(at["v2"], download=True)) == len(opened(Path(f"hfds/{NAME}"), download=True)) == 3
    for version in ("v1", first):
        refused(f"what was fetched before is commit {second}, not {first}\\); .* --download", opened, at[version])
    assert len(opened(at["v1"], download=True)) == 2
    refused(
        r"v3 cannot be loaded \(404 .*Revision Not Found.*\); check its name$",
        opened,
        at["v3"],
        download=True,
    )
    refused(r"Repository Not Found.*; check its name", opened, Path("hfds/me/none"), download=True)
    refused("hfds/a/b/c cannot be loaded", opened, Path("hfds/a/b/c"), download=True)


@pytest.mark.parametrize(
    ("planted", "match"),
    [
        ({}, r"hfds/a/b needs the package datasets; install it with pip install datasets$"),
        ({"datasets/photos/a.txt": ""}, r"needs the package datasets; install it with pip install datasets"),
        ({"datasets/__init__.py": "DATASETS = {}"}, r"Python takes .*/datasets/__init__.py for it; rename that, or"),
        (
            {"datasets.py": "DATASETS = {}"},
            r"Python takes .*/datasets.py for it; rename that, or start th",
        ),
        (
            {"datasets/__init__.py": "import nothing_of_that_name"},
            r"cannot be imported \(No module named .nothing",
        ),
    ],
)
def test_a_folder_or_a_file_called_datasets_is_not_taken_for_the_package(planted, match, tmp_path, monkeypatch):
    """As Python finds it where the package is not installed, or where the working directory goes before it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in planted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    installed = Path(datasets.__file__).parents[1]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path if path and Path(path) != installed)])
    importlib.invalidate_caches()
    try:
        refused(match, opened, Path("hfds/a/b"))
    finally:
        sys.modules.pop("datasets", None)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:9", "socks://127.0.0.1:9/"])
def test_a_proxy_that_the_client_cannot_use_is_one_line_and_a_copy_needs_none(proxy, fake_hub, tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    huggingface_hub.close_session()
    with pytest.raises(
        InputError, match=r"ALL_PROXY=socks.*127.0.0.1:9.*; check the network, or leave --download out"
    ) as e:
        opened(Path(f"hfds/{NAME}"), download=True)
    assert "secret" not in str(e.value) and "\n" not in str(e.value)
    write(tmp_path / "copy", train=ROWS)
    assert len(opened(hub(tmp_path / "copy"))) == len(ROWS)
