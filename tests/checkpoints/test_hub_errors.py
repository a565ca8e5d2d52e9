"""Whatever the Hub's client raises is one line: proxies, addresses and tokens that it cannot use among them."""

import builtins
import shutil
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import HTTPError

import ltzoo
from ltzoo import hub_errors
from ltzoo.checkpoints import download, find, find_checkpoint, push_checkpoint
from ltzoo.checkpoints.download import fetch
from ltzoo.errors import InputError
from ltzoo.recipes import get_recipe
from ltzoo.train.start import find_start, load_start
from tests.checkpoints.changes import NAME

SOCKS = "socks5://me:secret@127.0.0.1:9"
UNKNOWN = "socks://127.0.0.1:9/"


@pytest.fixture
def proxy(request, small_hub, monkeypatch):
    """The environment's proxy, for a client that is made anew; without socksio, as most have it."""
    huggingface_hub.close_session()
    monkeypatch.setenv("ALL_PROXY", request.param)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    real = builtins.__import__

    def without_socksio(name, *arguments, **options):
        if name == "socksio":
            raise ImportError("No module named 'socksio'", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_socksio)
    yield request.param
    huggingface_hub.close_session()


def one_line(call) -> str:
    with pytest.raises(InputError) as raised:
        call()
    said = str(raised.value)
    assert "\n" not in said and "secret" not in said
    return said


SAID = {
    SOCKS: "ALL_PROXY=socks5://***@127.0.0.1:9 is a SOCKS proxy, which needs a package: pip install socksio",
    UNKNOWN: "ALL_PROXY=socks://127.0.0.1:9/ is no kind of proxy that the client knows: write http://, https",
}


@pytest.mark.parametrize("proxy", [SOCKS, UNKNOWN], indirect=True)
def test_a_proxy_that_the_client_cannot_use_is_named_wherever_the_hub_is_asked(proxy, checkpoint, caplog):
    for call in (
        lambda: fetch("someone/photos"),
        lambda: find_checkpoint("resnet32_cifar10lt_ce_sgd"),
        lambda: push_checkpoint(checkpoint, "me/photos"),
        lambda: push_checkpoint(checkpoint, "me/photos", dry_run=True),
        lambda: ltzoo.checkpoints.add_to_collection("me", ["photos"], "Photos"),
        lambda: ltzoo.create_model("hf-hub:someone/photos", pretrained=True),
    ):
        assert SAID[proxy] in one_line(call)
    assert ltzoo.list_pretrained() == {}
    assert SAID[proxy] in caplog.text


@pytest.mark.parametrize("proxy", [SOCKS, UNKNOWN], indirect=True)
def test_what_lies_here_needs_no_client(proxy, checkpoint, monkeypatch, tmp_path, caplog):
    made = []
    monkeypatch.setattr(huggingface_hub.utils._http, "_GLOBAL_CLIENT_FACTORY", lambda: made.append("client"))
    monkeypatch.setattr(find, "PACKAGED", tmp_path / "zoo")
    assert find_checkpoint(NAME) == checkpoint
    ltzoo.create_model(NAME, pretrained=True)
    assert ltzoo.list_recipes() and ltzoo.list_models()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert ltzoo.list_pretrained() == {NAME: str(checkpoint)}
    assert "HF_HUB_OFFLINE is set" in caplog.text
    assert made == []


@pytest.mark.parametrize("proxy", [SOCKS, UNKNOWN], indirect=True)
def test_what_is_cached_is_loaded_where_no_client_can_be_made(proxy, checkpoint, monkeypatch):
    monkeypatch.delenv("ALL_PROXY")
    push_checkpoint(checkpoint, f"ltzoo/{NAME}")
    kept = fetch(f"ltzoo/{NAME}")
    huggingface_hub.close_session()
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert fetch(f"ltzoo/{NAME}") == kept
    assert ltzoo.list_pretrained() == {NAME: f"hf-hub:ltzoo/{NAME}"}
    shutil.rmtree(huggingface_hub.constants.HF_HUB_CACHE)
    assert SAID[proxy] in one_line(lambda: fetch(f"ltzoo/{NAME}"))


@pytest.mark.parametrize("proxy", [SOCKS], indirect=True)
def test_where_the_cache_cannot_be_read_either_the_first_error_is_reported(proxy, monkeypatch):
    def snapshot(*args, local_files_only, **kwargs):
        if local_files_only:
            raise PermissionError(13, "Permission denied", "refs/main")
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed")

    monkeypatch.setattr(download, "snapshot_download", snapshot)
    assert SAID[proxy] in one_line(lambda: fetch(f"ltzoo/{NAME}"))


@pytest.mark.parametrize("proxy", [SOCKS, UNKNOWN], indirect=True)
def test_timm_s_weights_through_such_a_proxy_are_one_line(proxy):
    recipe = ltzoo.recipes.document.override(
        get_recipe("resnet50_imagefolder_ce_sgd"), {"start": {"name": "pretrained"}, "architecture": "test_resnet"}
    )
    options = ltzoo.train.TrainOptions(Path("data"), Path("output"))
    start = find_start(recipe, options)
    benchmark = recipe_benchmark()
    model = ltzoo.recipes.model.build_model(recipe, data_set=benchmark.data_set)
    said = one_line(lambda: load_start(model, start, benchmark.data_set))
    assert said.startswith("timm's weights of test_resnet cannot be downloaded") and SAID[proxy] in said


def recipe_benchmark():
    from ltzoo.data import NATURAL_BENCHMARKS, ModelInput

    view = ModelInput(32, (0.5,) * 3, (0.25,) * 3, 1.0, "bilinear")
    return NATURAL_BENCHMARKS["imagefolder"].with_counts((5, 2), ("a", "b"), view)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9"], indirect=True)
def test_a_proxy_that_does_not_answer_is_named(proxy):
    assert "ALL_PROXY=http://127.0.0.1:9" in one_line(lambda: fetch("someone/photos"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("No module named 'h2'"), "me/x: the Hub cannot be reached (No module named 'h2')"),
        (KeyError("sha"), "me/x: the Hub's client failed (KeyError: 'sha')"),
        (
            UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
            "me/x: the Hub's client failed (",
        ),
        (HTTPError("cut off\n  in the middle"), "me/x: the Hub cannot be reached (cut off in the middle)"),
        (RuntimeError(), "me/x: the Hub's client failed (RuntimeError)"),
        (ValueError("word " * 200), "me/x: the Hub's client failed (word word"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_other_error_of_the_client_is_one_line(error, said):
    def call():
        with hub_errors.explained("me/x"):
            raise error

    found = one_line(call)
    assert found.startswith(said) and len(found) < 400


def test_one_line_that_was_said_already_stays_as_it_is():
    def call():
        with hub_errors.explained("me/x"):
            raise InputError("name another --output")

    assert one_line(call) == "name another --output"
