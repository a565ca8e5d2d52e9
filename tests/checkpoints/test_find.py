"""Where checkpoints are found by name: in which order, and what is listed."""

import re
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

import ltzoo
from ltzoo.checkpoints import PACKAGED, fetch, find_checkpoint, push_checkpoint
from tests.checkpoints import hub_routes, hub_server
from tests.checkpoints.changes import NAME, change_config, refused


def empty_checkpoint(folder, name=NAME):
    """A folder that is found, whatever is in it."""
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text("{}")
    return folder


def test_places_are_tried_in_their_order(as_recipe, small_hub, tmp_path, monkeypatch):
    named, variable, packaged = (empty_checkpoint(tmp_path / name) for name in ("named", "variable", "packaged"))
    push_checkpoint(as_recipe, f"ltzoo/{NAME}")
    small_hub.asked.clear()
    monkeypatch.setenv("LTZOO_HUB", str(variable))
    for folder in (named, variable, packaged):
        assert find_checkpoint(NAME, str(named)) == folder / NAME
        shutil.rmtree(folder / NAME)
    assert small_hub.asked == []
    assert find_checkpoint(NAME, str(named)) == fetch(f"ltzoo/{NAME}")


def test_what_is_no_folder_is_a_user_of_the_hub_asked_in_turn(as_recipe, small_hub, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LTZOO_HUB", "somebody")
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    tried = f"no checkpoint of {NAME}: me/.* is not on the Hub.*somebody/.*{packaged} has no checkpoint.*; ltzoo/"
    refused(lambda: find_checkpoint(NAME, "me"), tried)
    push_checkpoint(as_recipe, f"ltzoo/{NAME}")
    assert find_checkpoint(NAME, "me") == fetch(f"ltzoo/{NAME}")
    assert f"me/{NAME} is not on the Hub" in caplog.text
    assert f"{NAME} is taken from ltzoo" in caplog.text
    empty_checkpoint(packaged)
    assert find_checkpoint(NAME, "me") == packaged / NAME
    push_checkpoint(as_recipe, f"somebody/{NAME}")
    assert find_checkpoint(NAME, "me") == fetch(f"somebody/{NAME}")
    push_checkpoint(as_recipe, f"me/{NAME}")
    assert find_checkpoint(NAME, "me") == fetch(f"me/{NAME}")


@pytest.mark.parametrize("fault", ["refuse", 503, 401])
def test_a_place_that_cannot_be_asked_ends_the_search(fault, small_hub, tmp_path):
    empty_checkpoint(tmp_path / "packaged")
    small_hub.fail(fault, f"GET /api/models/me/{NAME}", times=99)
    refused(lambda: find_checkpoint(NAME, "me"), f"no checkpoint of {NAME}: .*(reached|refuses the token)")


def test_a_name_with_a_seed_is_another_checkpoint(as_recipe, tmp_path):
    zoo = tmp_path / "zoo"
    for name, seed in ((NAME, 0), (f"{NAME}.seed1", 1)):
        change_config(shutil.copytree(as_recipe, zoo / name), seed=seed)
    for name, seed in ((NAME, 0), (f"{NAME}.seed1", 1)):
        assert ltzoo.checkpoints.read_config(find_checkpoint(name, str(zoo)))["seed"] == seed
        ltzoo.create_model(name, pretrained=True, hub=str(zoo))
    refused(lambda: ltzoo.create_model(f"{NAME}.seed2", pretrained=True, hub=str(zoo)), "no checkpoint of .*seed2")
    refused(lambda: ltzoo.create_model("resnet20_digitslt", pretrained=True), "no recipe is called")


def test_what_can_be_loaded_is_listed_with_where_it_comes_from(as_recipe, small_hub, tmp_path, monkeypatch):
    packaged, zoo = tmp_path / "packaged", tmp_path / "mine"
    empty_checkpoint(packaged, f"{NAME}.seed1")
    (packaged / "no_checkpoint").mkdir()
    for name in (NAME, "resnet20_digitslt_vs_sam", "not_a_recipe"):
        push_checkpoint(as_recipe, f"ltzoo/{name}")
    push_checkpoint(as_recipe, "ltzoo/resnet20_digitslt_vs_sgd", private=True)
    everything = {
        NAME: f"hf-hub:ltzoo/{NAME}",
        f"{NAME}.seed1": str(packaged / f"{NAME}.seed1"),
        "resnet20_digitslt_vs_sam": "hf-hub:ltzoo/resnet20_digitslt_vs_sam",
        "resnet20_digitslt_vs_sgd": "hf-hub:ltzoo/resnet20_digitslt_vs_sgd",
    }
    assert ltzoo.list_pretrained() == everything
    assert ltzoo.list_models(pretrained=True) == list(everything)
    assert ltzoo.list_models("*_sam", pretrained=True) == ["resnet20_digitslt_vs_sam"]
    empty_checkpoint(zoo, "resnet20_digitslt_vs_sam")
    assert ltzoo.list_pretrained("*_sam", hub=str(zoo)) == {
        "resnet20_digitslt_vs_sam": f"{zoo}/resnet20_digitslt_vs_sam"
    }
    monkeypatch.delenv("HF_TOKEN")
    assert "resnet20_digitslt_vs_sgd" not in ltzoo.list_models(pretrained=True)
    assert len(ltzoo.list_models()) == len(ltzoo.list_recipes())


@pytest.mark.parametrize("reason", ["offline", "refuse", 503])
def test_what_is_cached_is_listed_where_the_hub_cannot_be_asked(reason, as_recipe, small_hub, monkeypatch, caplog):
    push_checkpoint(as_recipe, f"ltzoo/{NAME}")
    fetch(f"ltzoo/{NAME}")
    if reason == "offline":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        small_hub.fail(reason, r"GET /api/models\?", times=99)
    assert ltzoo.list_pretrained() == {NAME: f"hf-hub:ltzoo/{NAME}"}
    assert "the Hub cannot list the models of ltzoo" in caplog.text


@pytest.mark.parametrize("hub", ["outptu/zoo", "/data/zoo", "~/zoo", "./zoo", "a b"])
def test_what_can_only_be_a_folder_and_is_none_is_refused(hub, small_hub):
    for call in (lambda: find_checkpoint(NAME, hub), lambda: ltzoo.list_pretrained(hub=hub)):
        refused(call, f"there is no folder {hub}, and it cannot be the name of a Hub user; check the path")
    assert small_hub.asked == []


def test_an_answer_that_is_none_of_a_hub_is_no_list(small_hub, monkeypatch, caplog):
    monkeypatch.setattr(hub_routes, "ROUTES", [(re.compile("GET /api/models"), lambda *_: {"error": "no list"})])
    monkeypatch.setattr(hub_server, "ROUTES", hub_routes.ROUTES)
    assert ltzoo.list_pretrained() == {}
    assert "the Hub cannot list the models of ltzoo" in caplog.text


def test_the_zoo_of_a_checkout_lies_where_it_is_looked_for():
    assert PACKAGED.resolve() == Path(__file__).parents[2] / "hub" / "zoo"
