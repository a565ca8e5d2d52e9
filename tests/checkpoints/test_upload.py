"""Publishing through the real client to the small Hub: what changed, once, under a version; and the way back."""

import json
import shutil
import tempfile

import huggingface_hub.constants
import pytest
import timm
import torch

import ltzoo
from ltzoo.checkpoints import (
    Publication,
    add_to_collection,
    damaged_files,
    fetch,
    push_checkpoint,
    push_to_hub,
    write_card,
)
from ltzoo.checkpoints.files import read_manifest, write_manifest
from tests.checkpoints.changes import NAME, change_config, refused
from tests.checkpoints.denied_writes import full_disk

HERE = "me/model"

FILES = {
    "README.md", "SHA256SUMS", "classes.png", "config.json", "curves.png", "metrics.json", "model.safetensors",
    "summary.csv", "test/rand_tensors.safetensors",
}  # fmt: skip


def test_a_checkpoint_is_published_whole_and_loads_back_bit_for_bit(as_recipe, small_hub):
    done = push_checkpoint(as_recipe, f"zoo/{NAME}")
    assert (set(done.sent), done.version) == (FILES, "v1")
    repository = small_hub.store.repositories[f"zoo/{NAME}"]
    assert not repository.private
    assert repository.tags == {"v1": repository.head}
    files = repository.commits[-1][1]
    assert set(files) == {*FILES, ".gitattributes"}
    for name in FILES - {"README.md", "SHA256SUMS"}:
        assert files[name] == (as_recipe / name).read_bytes()
    assert f'create_model("hf-hub:zoo/{NAME}", pretrained=True)' in files["README.md"].decode()
    here = ltzoo.create_model(f"local-dir:{as_recipe}", pretrained=True).state_dict()
    there = ltzoo.create_model(f"hf-hub:zoo/{NAME}@v1", pretrained=True).state_dict()
    assert all(torch.equal(there[key], value) for key, value in here.items())


def test_what_is_there_already_is_not_sent_again(checkpoint, small_hub):
    push_checkpoint(checkpoint, f"zoo/{NAME}")
    commits = len(small_hub.store.repositories[f"zoo/{NAME}"].commits)
    small_hub.asked.clear()
    again = push_checkpoint(checkpoint, f"zoo/{NAME}")
    assert (again.sent, again.version) == ((), "v1")
    assert len(small_hub.store.repositories[f"zoo/{NAME}"].commits) == commits
    assert not [line for line in small_hub.asked if "/commit/" in line or line.startswith("PUT")]
    (checkpoint / "summary.csv").write_text("other\n")
    write_manifest(checkpoint)
    changed = push_checkpoint(checkpoint, f"zoo/{NAME}")
    assert (set(changed.sent), changed.version) == ({"summary.csv", "SHA256SUMS"}, "v2")
    assert not [line for line in small_hub.asked if line.startswith("PUT")]
    tags = small_hub.store.repositories[f"zoo/{NAME}"].tags
    assert (len(tags), tags["v2"]) == (2, small_hub.store.repositories[f"zoo/{NAME}"].head)


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(checkpoint, small_hub):
    assert set(push_checkpoint(checkpoint, f"zoo/{NAME}", dry_run=True).sent) == FILES
    assert small_hub.store.repositories == {}
    push_checkpoint(checkpoint, f"zoo/{NAME}")
    assert push_checkpoint(checkpoint, f"zoo/{NAME}", dry_run=True).sent == ()


def test_private_repositories_are_made_and_read_with_a_token_only(as_recipe, small_hub, monkeypatch):
    push_checkpoint(as_recipe, "me/secret", private=True)
    assert small_hub.store.repositories["me/secret"].private
    ltzoo.create_model("hf-hub:me/secret", pretrained=True)
    push_checkpoint(as_recipe, "me/open")
    refused(lambda: push_checkpoint(as_recipe, "me/open", private=True), "me/open is public already")


def test_a_model_of_ones_own_is_published_with_its_own_classes(as_recipe, small_hub):
    tuned = ltzoo.create_model(f"local-dir:{as_recipe}", pretrained=True, num_classes=3)
    assert push_to_hub(tuned, "me/tuned").version == "v1"
    back = ltzoo.create_model("hf-hub:me/tuned", pretrained=True)
    assert all(torch.equal(back.state_dict()[key], value) for key, value in tuned.state_dict().items())
    config = json.loads(small_hub.store.repositories["me/tuned"].commits[-1][1]["config.json"])
    assert "recipe" not in config
    cosine = ltzoo.create_model("resnet20_digitslt_ldam_sgd")
    push_to_hub(cosine, "me/cosine")
    assert type(ltzoo.create_model("hf-hub:me/cosine", pretrained=True).fc) is type(cosine.fc)


def test_a_runs_own_folder_is_published_also_with_overrides(finished_run, small_hub):
    push_to_hub(str(finished_run.path), "me/short")
    assert "Not the registered recipe" in small_hub.store.repositories["me/short"].commits[-1][1]["README.md"].decode()


def test_what_is_no_sound_checkpoint_is_not_published(checkpoint, small_hub, tmp_path):
    refused(lambda: push_to_hub(torch.nn.Linear(2, 2), "me/linear"), "made by timm.create_model, not Linear")
    refused(lambda: push_to_hub(tmp_path / "none", "me/x"), "there is no checkpoint folder")
    refused(
        lambda: push_to_hub(tmp_path, "me/x", model_args={"depth": 20}), "model_args are for models; a folder such as"
    )
    (checkpoint / "curves.png").write_bytes(b"other")
    refused(lambda: push_checkpoint(checkpoint, "me/x"), "curves.png is not what SHA256SUMS lists")
    write_manifest(checkpoint)
    change_config(checkpoint, recipe={"name": "x"})
    refused(lambda: push_checkpoint(checkpoint, "me/x"), "config.json or metrics.json lacks what a run writes")
    (checkpoint / "SHA256SUMS").unlink()
    refused(lambda: push_checkpoint(checkpoint, "me/x"), "SHA256SUMS is missing")
    assert small_hub.store.repositories == {}


@pytest.mark.parametrize(
    ("repository", "token", "match"),
    [
        ("me/model", None, "the Hub refuses the token"),
        ("me/model", "bad", "the Hub refuses the token"),
        ("forbidden/model", "good", "the token may not do this to forbidden/model"),
        ("alone", "good", "'alone' is not a valid name of a Hub repository; write user/name"),
        ("a/b/c", "good", "'a/b/c' is not a valid name of a Hub repository; write user/name"),
        ("a b", "good", "'a b' is not a valid name of a Hub repository; write user/name"),
    ],
)
def test_what_the_hub_refuses_is_one_line(repository, token, match, as_recipe, small_hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    refused(lambda: push_checkpoint(as_recipe, repository), match)
    assert small_hub.store.repositories == {}


def test_offline_nothing_is_published(as_recipe, small_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused(lambda: push_checkpoint(as_recipe, HERE), "me/model: HF_HUB_OFFLINE is set, so the Hub is not asked")


@pytest.mark.parametrize("room", [0, 100_000])
def test_a_full_temporary_folder_is_not_the_hubs_fault(room, as_recipe, small_hub, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with full_disk(room):
        refused(lambda: push_checkpoint(as_recipe, HERE), rf"^{tmp_path}/.* cannot be written: it is larger than")
    assert list(tmp_path.iterdir()) == [] and small_hub.store.repositories == {}


def test_the_zoo_is_gathered_in_one_collection(as_recipe, small_hub):
    for name in ("a", "b"):
        push_checkpoint(as_recipe, f"zoo/{name}")
    slug = add_to_collection("zoo", ["a"], "Long tails")
    assert add_to_collection("zoo", ["a", "b"], "Long tails") == slug
    assert [item["id"] for item in small_hub.store.collections[slug]["items"]] == ["zoo/a", "zoo/b"]


def test_files_of_an_earlier_checkpoint_do_not_stay_and_other_peoples_do(as_recipe, small_hub):
    push_checkpoint(as_recipe, HERE)
    repository = small_hub.store.repositories[HERE]
    repository.add(repository.commits[-1][1] | {"LICENSE": b"theirs"})
    assert push_checkpoint(as_recipe, HERE) == Publication(HERE, (), "v1")
    model = ltzoo.create_model(f"local-dir:{as_recipe}", pretrained=True)
    assert push_to_hub(model, HERE).version == "v2"
    assert set(repository.commits[-1][1]) == {
        "README.md", "SHA256SUMS", "config.json", "model.safetensors", "test/rand_tensors.safetensors",
        "LICENSE", ".gitattributes",
    }  # fmt: skip
    assert damaged_files(fetch(HERE, whole=True)) == []


def test_a_model_that_timm_would_build_otherwise_is_not_published(small_hub):
    model = timm.create_model("resnet18", num_classes=3)
    model.act1 = model.maxpool = torch.nn.Identity()
    refused(lambda: push_to_hub(model, HERE), "timm builds another model from what is stored: its output differs")
    assert small_hub.store.repositories == {}


def test_publishing_leaves_the_folder_as_it_is(checkpoint, small_hub):
    before = read_manifest(checkpoint)
    push_checkpoint(checkpoint, "me/model")
    assert read_manifest(checkpoint) == before
    copy = shutil.copytree(checkpoint, checkpoint.with_name("copy"))
    write_card(copy, "hf-hub:me/model")
    card = small_hub.store.repositories["me/model"].commits[-1][1]["README.md"]
    assert (copy / "README.md").read_bytes() == card
