"""Loading from the Hub through the real client: revisions, rights, offline, and a cache that several share."""

import multiprocessing
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch

import ltzoo
from ltzoo.checkpoints import download, fetch, push_checkpoint
from ltzoo.checkpoints.files import write_manifest
from tests.checkpoints.changes import NAME, change_weights, flip_bit, refused
from tests.checkpoints.denied_writes import full_disk, read_only
from tests.checkpoints.hub_routes import GOOD_TOKEN

HERE = f"zoo/{NAME}"


@pytest.fixture
def published(checkpoint, small_hub):
    """The repository of a checkpoint."""
    push_checkpoint(checkpoint, HERE)
    return small_hub.store.repositories[HERE]


def assert_loaded(folder, **kwargs):
    model = ltzoo.create_model(f"hf-hub:{HERE}", pretrained=True, **kwargs)
    expected = ltzoo.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.items())


def test_a_revision_is_a_tag_or_a_commit(checkpoint, published):
    change_weights(checkpoint, lambda weights: weights["fc.weight"].neg_())
    push_checkpoint(checkpoint, HERE)
    first, second = published.tags["v1"], published.tags["v2"]
    old, new = (ltzoo.create_model(f"hf-hub:{HERE}@{tag}", pretrained=True) for tag in ("v1", "v2"))
    torch.testing.assert_close(old.fc.weight, -new.fc.weight)
    assert fetch(HERE, first) == fetch(HERE, "v1")
    assert fetch(HERE) == fetch(HERE, second) == fetch(HERE, "main")
    refused(lambda: fetch(HERE, "v3"), f"{HERE} has no revision v3; its page on the Hub lists")


def test_only_what_a_model_is_loaded_from_is_fetched_unless_all_is_asked_for(published):
    assert {path.name for path in fetch(HERE).iterdir()} == {"config.json", "model.safetensors", "SHA256SUMS"}
    assert {path.name for path in fetch(HERE, whole=True).iterdir()} >= {"README.md", "metrics.json", "classes.png"}


def test_timm_loads_from_the_hub_once_ltzoo_is_imported(checkpoint, published):
    model = timm.create_model(f"hf-hub:{HERE}", pretrained=True)
    expected = ltzoo.create_model(f"local-dir:{checkpoint}", pretrained=True)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.state_dict().items())
    assert model.pretrained_cfg["label_names"] == [str(digit) for digit in range(10)]
    assert timm.create_model(f"hf-hub:{HERE}@v1", pretrained=True, num_classes=3).fc.weight.shape == (3, 64)


def test_a_private_repository_is_shown_to_its_token_alone(published, monkeypatch, tmp_path):
    published.private = True
    fetch(HERE)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("HF_TOKEN")
    refused(lambda: fetch(HERE), f"{HERE} is not on the Hub, or is private and the token may not read it")
    monkeypatch.setenv("HF_TOKEN", "bad")
    refused(lambda: fetch(HERE), "the Hub refuses the token .401.; see HF_TOKEN, or `hf auth login`")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "has no config.json; it is no checkpoint that ltzoo loads"),
        ({"config.json": b"{}"}, "has no model.safetensors; it is no checkpoint"),
        (
            {"config.json": b"{}", "pytorch_model.bin": b"a pickle"},
            "has no model.safetensors; .*only safetensors",
        ),
        ({"config.json": b"{}", "model.safetensors": b""}, "names no architecture"),
        ({"config.json": b"[" * 2**25, "model.safetensors": b""}, "config.json is too long for .*: it has 32.0 MiB"),
    ],
)
def test_a_repository_that_is_no_checkpoint_is_refused(files, match, published, monkeypatch):
    published.add(files)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    refused(lambda: ltzoo.create_model(f"hf-hub:{HERE}", pretrained=True), match)


@pytest.mark.parametrize("repository", ["somebody/model", "zoo/other"])
def test_a_missing_repository_is_refused(repository, published):
    refused(lambda: fetch(repository), f"{repository} is not on the Hub, or is private")


@pytest.mark.parametrize("repository", ["a b/c", "a/b/c", "", "/"])
def test_what_is_no_repository_is_refused(repository, small_hub):
    refused(
        lambda: ltzoo.create_model(f"hf-hub:{repository}", pretrained=True),
        "is not a valid name of a Hub repository",
    )


def test_offline_what_is_there_is_loaded_and_what_is_missing_is_named(checkpoint, published, monkeypatch):
    fetch(HERE)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_loaded(checkpoint)
    refused(lambda: fetch(HERE, "v1"), f"{HERE}@v1 is missing in the cache .*cache, and HF_HUB_OFFLINE is set")
    refused(lambda: fetch("zoo/other"), "zoo/other is missing in the cache .*cache, and HF_HUB_OFFLINE is set")
    flip_bit(fetch(HERE) / "model.safetensors")
    refused(lambda: fetch(HERE), "model.safetensors is not the file .*HF_HUB_OFFLINE is set, go online once to")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert_loaded(checkpoint)


def test_what_cannot_be_mended_is_taken_out_of_the_cache(checkpoint, published, small_hub):
    folder = fetch(HERE)
    flip_bit(folder / "model.safetensors")
    small_hub.fail("flip", "GET /large/")
    refused(lambda: fetch(HERE), "model.safetensors is not the file .* and a new download failed")
    assert not (folder / "model.safetensors").exists()
    assert_loaded(checkpoint)


def test_a_damaged_cache_and_a_bad_token_are_told_apart_from_a_bad_hub(checkpoint, published, monkeypatch):
    flip_bit(fetch(HERE) / "model.safetensors")
    monkeypatch.setenv("HF_TOKEN", "bad")
    refused(lambda: fetch(HERE), "new download failed; .* or refuses the token")
    refused(lambda: fetch(HERE), "the Hub refuses the token .401.")
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert_loaded(checkpoint)


def test_a_repository_that_was_published_damaged_is_refused(checkpoint, published):
    files = dict(published.commits[-1][1])
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"x"
    published.add(files)
    refused(lambda: fetch(HERE), "a new download failed; the Hub's copy is damaged")
    fetch(HERE, "v1")


def test_a_read_only_cache_serves_what_it_has(checkpoint, published, monkeypatch, tmp_path):
    fetch(HERE)
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    with read_only(cache):
        assert_loaded(checkpoint)
        refused(lambda: fetch(HERE, "v1") and fetch("zoo/other"), "is not on the Hub")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        assert_loaded(checkpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(empty))
    with read_only(empty):
        refused(lambda: fetch(HERE), "Permission denied")
    assert list(empty.rglob("*")) == []


def test_a_damaged_file_in_a_read_only_cache_is_named(published):
    folder = fetch(HERE)
    flip_bit(folder / "model.safetensors")
    with read_only(Path(huggingface_hub.constants.HF_HUB_CACHE)):
        refused(lambda: fetch(HERE), "model.safetensors is not .* cannot be fetched again: .*Permission denied")


def test_a_full_disk_is_one_line_and_leaves_nothing_by_halves(checkpoint, published):
    with full_disk(100_000):
        refused(lambda: fetch(HERE), "File too large")
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    assert not [path for path in cache.rglob("*") if path.name == "model.safetensors"]
    assert_loaded(checkpoint)


def fetch_in_a_process(barrier, answers):
    barrier.wait()
    try:
        answers.put(str(fetch(HERE)))
    except Exception as error:
        answers.put(repr(error))


@pytest.mark.parametrize("damaged", [False, True])
def test_four_processes_at_once_share_one_cache(damaged, checkpoint, published, small_hub):
    if damaged:
        flip_bit(fetch(HERE) / "model.safetensors")
    small_hub.asked.clear()
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=fetch_in_a_process, args=(barrier, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = {answers.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert found == {str(fetch(HERE))}
    downloads = [line for line in small_hub.asked if line.startswith("GET /large/")]
    assert len(downloads) <= 4 if damaged else len(downloads) == 1
    assert_loaded(checkpoint)


@pytest.mark.parametrize("times", [1, 99])
@pytest.mark.parametrize("cached", [False, True])
def test_what_fails_on_the_way_of_large_files_is_tried_again_and_is_one_line(times, cached, published, monkeypatch):
    if cached:
        fetch(HERE)
    real, left = download.snapshot_download, iter(range(times))

    def failing(*arguments, local_files_only=False, **options):
        if not local_files_only and next(left, None) is not None:
            raise RuntimeError("Task error: File reconstruction error")  # as hf_xet has it
        return real(*arguments, local_files_only=local_files_only, **options)

    monkeypatch.setattr(download, "snapshot_download", failing)
    if times == 1 or cached:
        fetch(HERE)
    else:
        refused(lambda: fetch(HERE), "the Hub's client failed .Task error")


def test_a_cached_file_that_cannot_be_read_is_one_line(published, monkeypatch):
    folder = fetch(HERE)
    blob = (folder / "model.safetensors").resolve()
    blob.chmod(0)
    with read_only(Path(huggingface_hub.constants.HF_HUB_CACHE)):
        refused(lambda: fetch(HERE), "model.safetensors is not the file")


def test_a_manifest_over_other_weights_is_no_way_around_their_shapes(checkpoint, published):
    change_weights(checkpoint, lambda weights: weights.pop("layer1.0.conv1.weight"))
    write_manifest(checkpoint)
    push_checkpoint(checkpoint, HERE)
    refused(lambda: ltzoo.create_model(f"hf-hub:{HERE}", pretrained=True), "layer1.0.conv1.weight is missing")
