"""What strangers' files did once, each as one example: the right outcome stays."""

import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from ltzoo.checkpoints import damaged_files, load_checkpoint, read_config, read_manifest
from ltzoo.checkpoints.card import read_card_data
from ltzoo.checkpoints.files import read_file, write_manifest
from ltzoo.checkpoints.save import read_example
from ltzoo.data import NATURAL_BENCHMARKS, read_subset
from ltzoo.data.files import DataLocation, ResizedImages, open_files
from ltzoo.data.files.archives import read_shards, read_tar
from ltzoo.data.files.folders import read_folder
from ltzoo.data.files.lists import read_list
from ltzoo.data.files.standard_lists import read_inat_json
from ltzoo.data.memory import cifar_source
from ltzoo.errors import InputError
from ltzoo.evaluate import Figures, read_features, read_logits, summarize_runs
from ltzoo.reading.tensors import read_tensors
from ltzoo.recipes import read_recipe
from ltzoo.report import read_results, result_from_checkpoint
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.state import load_state
from ltzoo.train.weight_file import read_weights
from tests.hostile.explore import READERS, prepare
from tests.hostile.image_data import encoded
from tests.hostile.outcome import outcome
from tests.hostile.pictures import IMAGES
from tests.hostile.texts import yaml_bomb


def case(name, root, content=None):
    """The valid example of a reader, or its folder with another content."""
    reader = READERS[name]
    folder, valid = prepare(reader, root)
    if content is not None:
        (folder / reader.file).write_bytes(content if isinstance(content, bytes) else content.encode())
        reader.finish(folder)
    return folder, valid


def changed(name, root, **values):
    """The example of a reader of JSON, with other values of its first level."""
    _, valid = case(name, root)
    return case(name, root, json.dumps(json.loads(valid) | values))[0]


def refused(read, reason):
    with pytest.raises(InputError, match=reason) as error:
        read()
    assert "\n" not in str(error.value)


# Checkpoints


def test_a_link_out_of_a_checkpoint_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder, _ = case("SHA256SUMS", tmp_path)
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").symlink_to(tmp_path / "secret")
    for read in (
        lambda: read_file(folder, "metrics.json"),
        lambda: damaged_files(folder),
        lambda: write_manifest(folder),
    ):
        refused(read, "metrics.json is a link that leads outside the checkpoint; copy the file itself there")


def test_links_of_the_hubs_cache_and_within_the_folder_are_followed(tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0", tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "1").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    (snapshot / "README.md").symlink_to("config.json")
    assert read_file(snapshot, "config.json") == read_file(snapshot, "README.md") == b"{}"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:\\x", "..\\x", "a\0b", "a\x1b[2J"])
def test_a_manifest_names_files_of_its_folder_alone(name, tmp_path):
    folder, _ = case("SHA256SUMS", tmp_path, f"{'0' * 64}  {name}\n")
    refused(lambda: read_manifest(folder), "SHA256SUMS names .*, outside the checkpoint; do not use")


def test_a_manifest_with_a_name_that_is_too_long_for_the_file_system(tmp_path):
    folder, _ = case("SHA256SUMS", tmp_path, f"{'0' * 64}  {'x' * 5000}\n")
    assert "x" * 5000 in damaged_files(folder)


def test_a_terabyte_of_weights_is_refused_and_hashed_in_parts(tmp_path):
    folder, _ = case("model.safetensors", tmp_path)
    (folder / "SHA256SUMS").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"library_name": "timm"}))
    os.truncate(folder / "model.safetensors", 2**40)
    refused(lambda: load_checkpoint(folder), r"model.safetensors is too long for .*: it has 1048576\.0 MiB")


def test_a_model_of_more_memory_than_there_is_is_not_built(tmp_path, monkeypatch):
    folder = changed("config.json, model built", tmp_path, num_classes=2**24)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 2**30}))
    refused(
        lambda: load_checkpoint(folder, pretrained=False), "config.json describes a model of 4 GiB, and this machine"
    )


@pytest.mark.parametrize("values", [{"num_classes": 10**12}, {"num_classes": True}, {"num_classes": 1e3}])
def test_a_number_of_classes_that_no_model_has(values, tmp_path):
    refused(lambda: read_config(changed("config.json", tmp_path, **values)), "config.json is damaged: num_classes is")


def test_a_model_of_a_million_layers_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr("ltzoo.checkpoints.load._MOST_PARAMETERS", 500)
    folder = changed("config.json, model built", tmp_path, architecture="resnet18", model_args={"layers": [10**6] * 4})
    refused(lambda: load_checkpoint(folder, pretrained=False), "describes no model .*: it has more than 500 parameters")


def test_a_card_whose_metadata_are_a_bomb_or_no_yaml(tmp_path):
    for header in (yaml_bomb(9, merge=True), b"a: [", b"a: 1\na: 2"):
        folder, _ = case("model card", tmp_path, b"---\n" + header + b"\n---\n# x\n")
        refused(lambda folder=folder: read_card_data(folder), "the metadata of .*README.md cannot be read")


def test_an_example_of_many_images_is_not_computed(tmp_path):
    folder, _ = case("stored example", tmp_path)
    images = torch.zeros(1000, 1, 16, 16, dtype=torch.uint8)
    save_file({"input": images, "output": images.clone()}, folder / "test" / "rand_tensors.safetensors")
    write_manifest(folder)
    refused(lambda: read_example(folder), "it is not one image and its output")


# JSON, YAML and CSV


@pytest.mark.parametrize("text", ['{"last": NaN}', "[" * 100_000, '{"a": 1, "a": 2}', '{"seed": 1e400}', '"\\ud800"'])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("metrics.json, summarized", lambda folder: summarize_runs([folder])),
        ("metrics.json, collected", result_from_checkpoint),
        ("result", read_results),
        ("subset file", lambda folder: read_subset(folder / "subset.json")),
    ],
)
def test_json_that_python_reads_and_the_standard_does_not_know(name, read, text, tmp_path):
    folder, _ = case(name, tmp_path, text)
    refused(lambda: read(folder), "missing or damaged|not a complete checkpoint|is not a result|not a subset file")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 100.1, "50", True, None, [50], 10**400])
@pytest.mark.parametrize("key", ["overall", "top5"])
def test_figures_are_finite_numbers_in_per_cent(key, value):
    groups = {"count": {"head": 1.0, "mid": None, "tail": 2.0}}
    document = {"overall": 1.5, "top5": 2.0, "groups": groups, "per_class": [1.0], "class_counts": [3], "images": 9}
    document |= {"rule": "last epoch"}
    assert Figures.from_dict(document).own_groups == groups["count"]
    with pytest.raises(ValueError, match="is no figure in per cent"):
        Figures.from_dict(document | {key: value})
    for other in (
        {"per_class": [value]},
        {"groups": {"count": {"head": value}}} if value is not None else {"per_class": 3},
    ):
        with pytest.raises((ValueError, TypeError)):
            Figures.from_dict(document | other)


@pytest.mark.parametrize("cell", ["nan", "inf", "1e999"])
def test_a_curve_that_is_not_finite_enters_no_result(cell, tmp_path):
    folder, valid = case("summary.csv, collected", tmp_path)
    header, first, *rest = valid.decode().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("train_loss")] = cell
    folder, _ = case("summary.csv, collected", tmp_path, "\n".join([header, ",".join(cells), *rest]))
    refused(lambda: result_from_checkpoint(folder), f"the column train_loss has '{cell}', which is no finite number")


@pytest.mark.parametrize("seconds", ["inf", "nan", "1", True, -1])
def test_the_seconds_of_a_result_are_finite(seconds, tmp_path):
    _, valid = case("result", tmp_path)
    run = json.loads(valid)["run"] | {"seconds": seconds}
    refused(lambda: read_results(changed("result", tmp_path, run=run)), "seconds must be numbers from 0 on")


@pytest.mark.parametrize("source", ["javascript:alert(1)", "file:///etc/passwd", "https://a b", 3, "https://a\n"])
def test_the_link_of_an_entry_is_a_url(source, tmp_path):
    folder = changed("leaderboard entry", tmp_path, claim={"overall": 50.0, "source": source})
    refused(lambda: read_results(folder), "is not a result")


def test_a_cell_longer_than_csv_reads_and_a_recipe_of_aliases_end_in_one_line(tmp_path):
    folder, _ = case("run: summary.csv", tmp_path, "epoch\n" + "1" * 200_000)
    refused(lambda: RunFolder(folder).read_history(3), "summary.csv is damaged")
    for text in (yaml_bomb(30), b"[" * 1500, b"a: &a [*a]"):
        folder, _ = case("recipe YAML", tmp_path, text)
        refused(lambda folder=folder: read_recipe(folder / "mine.yaml"), "mine.yaml cannot be read as a recipe")
        folder, _ = case("run: recipe.yaml", tmp_path, text)
        assert RunFolder(folder).recorded() == {}


def test_a_long_value_is_not_quoted_at_full_length(tmp_path):
    folder, _ = case("recipe YAML", tmp_path, f"name: x\nloss: {'x' * 10_000}\n")
    refused(lambda: read_recipe(folder / "mine.yaml"), "mine.yaml")
    with pytest.raises(InputError) as error:
        read_recipe(folder / "mine.yaml")
    assert len(str(error.value)) < 1000


def test_a_long_number_of_seconds_is_not_quoted_at_full_length(tmp_path):
    folder, _ = case("stored features", tmp_path)
    path = folder / READERS["stored features"].file
    tensors, metadata = read_tensors(path)
    path.write_bytes(save(tensors, metadata | {"seconds": "x" * 5000}))
    with pytest.raises(InputError, match="is damaged: could not convert string to float: 'xxx") as error:
        READERS["stored features"].read(folder)
    assert len(str(error.value)) < 1000


def test_names_of_a_list_are_not_quoted_at_full_length(tmp_path):
    long = "x" * 5000
    folder, _ = case("list", tmp_path, f"{long} a\n./{long} a\n")
    with pytest.raises(InputError) as error:
        READERS["list"].read(folder)
    assert f"line 2: line 1 names {'x' * 150} ... {'x' * 150} already" in str(error.value)


# Tensors


@pytest.mark.parametrize("state", ["{", "[" * 5000, "[]", '{"optimizer": {"99": 1}, "scaler": null, "progress": {}}'])
def test_a_state_that_is_no_state(state, tmp_path):
    folder, _ = case("run state", tmp_path)
    save_file({"model.0.weight": torch.zeros(2, 3)}, folder / "last.safetensors", {"state": state})
    step = READERS["run state"].read.__globals__["_step"]()
    refused(lambda: load_state(folder / "last.safetensors", step), "is damaged|is the state of another model")


def test_groups_nested_too_deeply_and_features_that_are_not_finite(tmp_path):
    folder, _ = case("stored logits", tmp_path)
    path = folder / "logits.safetensors"
    stored = read_logits(path)
    tensors = {"logits": stored.predictions.logits, "labels": stored.predictions.labels}
    tensors["class_counts"] = torch.tensor(stored.class_counts)
    metadata = {key: getattr(stored, key) for key in ("model", "benchmark", "recipe", "rule")}
    save_file(
        tensors, path, metadata | {"kind": "ltzoo test logits, version 1", "groups": "x", "groupings": "[" * 5000}
    )
    refused(lambda: read_logits(path), "its groups cannot be read")
    folder, valid = case("stored features", tmp_path)
    path = folder / "measured-0.safetensors"
    path.write_bytes(valid[:-32] + b"\xff" * 32)
    refused(lambda: read_features(path), "its (features are no finite numbers|labels are not those)")


def test_a_pickle_that_runs_a_program_and_an_archive_that_unpacks_to_more(tmp_path):
    folder, _ = case("weights to start from (.pth)", tmp_path, b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    refused(lambda: read_weights(folder / "weights.pth", {}), "weights.pth has no weights that can be read")
    (folder / "weights.pth").unlink()
    os.mkfifo(folder / "weights.pth")
    refused(lambda: read_weights(folder / "weights.pth", {}), "a pipe or a device")


# Images and lists


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "a/../../outside.png", "..\\x.png", "a\0b", ""])
def test_inaturalists_files_lie_in_their_folder(name, tmp_path):
    _, valid = case("iNaturalist's JSON", tmp_path)
    first, *others = json.loads(valid)["images"]
    folder = changed("iNaturalist's JSON", tmp_path, images=[first | {"file_name": name}, *others])
    refused(lambda: read_inat_json(folder / "train2018.json", 2, folder), "(lies outside its folder|is no name); fetch")


def test_a_list_of_pipes_and_devices_names_them_and_does_not_wait(tmp_path):
    folder, _ = case("list", tmp_path, "/dev/zero a\npipe b\n")
    os.mkfifo(folder / "pipe")
    files = read_list(folder / "train.txt").labelled(folder)
    for index in range(2):
        refused(lambda index=index: files.image(index), "it is a pipe or a device, not a file")
    os.truncate(folder / "train.txt", 2**40)
    refused(lambda: read_list(folder / "train.txt"), "train.txt cannot be read .it has more than 512 MiB")


@pytest.mark.parametrize("content", IMAGES[:8])
def test_programs_and_bombs_are_no_images(content, tmp_path):
    reader = READERS["image (PNG)"]
    folder, _ = prepare(reader, tmp_path)
    assert outcome(reader, folder, content) in ("refused", "right")
    if content in IMAGES[:4]:
        assert outcome(reader, folder, content) == "refused"


def tar_header(name, size, kind=b"0"):
    """A header whose size is written in base 256, as GNU tar does; it may be negative."""
    entry = tarfile.TarInfo(name)
    entry.type = kind
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = bytes([0xFF if size < 0 else 0x80]) + (size % 256**11).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("size", [-512, -1024, 2**62])
def test_a_tar_file_whose_sizes_lead_back_or_far_beyond_its_end(size, tmp_path):
    (tmp_path / "train.tar").write_bytes(tar_header("a/1.png", 0) + tar_header("a/x", size) + bytes(1024))
    refused(
        lambda: read_tar(tmp_path / "train.tar"), "train.tar (cannot be read as a tar file|is damaged or cut short)"
    )


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g", b"X"])
def test_a_name_of_gigabytes_in_a_tar_file_is_not_read(kind, tmp_path):
    (tmp_path / "train.tar").write_bytes(tar_header("a/1.png", 2**33, kind))
    os.truncate(tmp_path / "train.tar", 2**34)
    refused(lambda: read_tar(tmp_path / "train.tar"), "a header has a name that is too long")


def test_the_class_of_a_shard_is_short_text(tmp_path):
    (tmp_path / "train-0.tar").write_bytes(tar_header("1.cls", 2**33))
    os.truncate(tmp_path / "train-0.tar", 2**34)
    refused(lambda: read_shards([tmp_path / "train-0.tar"]), r"1\.cls of .*train-0.tar has 8589934592 bytes, too many")


def test_sparse_headers_that_are_no_numbers_are_named(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        entry = tarfile.TarInfo("a/1.png")
        entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": "x"}
        made.addfile(entry)
    (tmp_path / "train.tar").write_bytes(out.getvalue())
    refused(lambda: read_tar(tmp_path / "train.tar"), "train.tar cannot be read as a tar file")


def test_a_cached_image_whose_header_asks_for_terabytes_is_made_again(tmp_path):
    folder, valid = case("cache of resized images", tmp_path)
    head = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 3)}
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, head)
    reader = READERS["cache of resized images"]
    for content in (out.getvalue(), valid[:-1], b"\x93NUMPY\x01\x00\xff\xff{", valid):
        assert outcome(reader, folder, content) == "right"
    image = ResizedImages(read_folder(folder / "images"), 6, None).image(0)
    again = ResizedImages(read_folder(folder / "images"), 6, folder / "cache").image(0)
    assert np.array_equal(np.asarray(image), np.asarray(again))


def test_a_parquet_image_of_another_size_is_not_decoded_and_a_pipe_not_waited_for(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, _ = case("CIFAR parquet", tmp_path)
    (path,) = (folder / "cifar10").iterdir()
    pq.write_table(pa.table({"img": [{"bytes": IMAGES[2], "path": None}], "label": [0]}), path)
    source = cifar_source("cifar10", "train", folder, download=False)
    refused(lambda: source.decode(np.array([0])), "cannot be decoded|is 50000 x 50000 pixels")
    rows = pa.table({"img": [{"bytes": b"", "path": None}] * 1_100_000, "label": [0] * 1_100_000})
    pq.write_table(rows, path)
    assert path.stat().st_size < 10**5
    refused(lambda: cifar_source("cifar10", "train", folder, download=False), "1100000 rows in one file")
    path.unlink()
    os.mkfifo(path)
    refused(lambda: cifar_source("cifar10", "train", folder, download=False), "a pipe or a device")


def test_rows_of_a_hub_data_set_name_no_other_file_of_this_machine(tmp_path, monkeypatch):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder, _ = case("Hub data set", tmp_path)
    rows = [{"bytes": None, "path": str(tmp_path / "outside.png")}, {"bytes": encoded(1), "path": "/etc/passwd"}]
    pq.write_table(pa.table({"image": rows, "label": ["a", "b"]}), folder / "copy" / "train.parquet")
    location = DataLocation(folder.__class__("hfds") / str(folder / "copy").lstrip("/"))
    files = open_files(NATURAL_BENCHMARKS["imagefolder"], "train", location)
    refused(lambda: files.image(0), "it lies outside the data set|outside")
    assert files.image(1).size == (12, 9)


def test_a_saved_data_set_that_names_a_table_outside_its_folder(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    made = datasets.Dataset.from_dict(
        {"image": [{"bytes": encoded(k), "path": None} for k in range(2)], "label": ["a", "b"]}
    )
    made.save_to_disk(str(tmp_path / "copy"))
    (table,) = (tmp_path / "copy").glob("*.arrow")
    shutil.move(table, tmp_path / "outside.arrow")
    state = json.loads((tmp_path / "copy" / "state.json").read_text())
    state["_data_files"] = [{"filename": "../outside.arrow"}]
    (tmp_path / "copy" / "state.json").write_text(json.dumps(state))
    location = DataLocation(tmp_path.__class__("hfds") / str(tmp_path / "copy").lstrip("/"))
    refused(
        lambda: open_files(NATURAL_BENCHMARKS["imagefolder"], "train", location), "outside.arrow, outside its folder"
    )


def test_a_result_of_another_name_cannot_be_written_elsewhere(tmp_path):
    _, valid = case("result", tmp_path)
    recipe = json.loads(valid)["recipe"] | {"name": "../../x"}
    folder = changed("result", tmp_path, model="../../x", recipe=recipe)
    refused(lambda: read_results(folder), "is not a result|must have only one")
