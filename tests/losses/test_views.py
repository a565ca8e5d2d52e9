"""What the contrastive losses share: outputs that do not fit, mixed images, and their examples, which run."""

import copy
import inspect
import pickle
import re
import textwrap

import pytest
import timm
import torch

import ltzoo
import ltzoo.models
from ltzoo.losses import LOSSES, LossModule, Outputs, create_loss
from ltzoo.sharpness import MixedTargets, NoPerturbation, StepOptions, perturbed_backward
from tests.losses.contrastive import (
    SETTINGS,
    TARGETS,
    assert_same_state,
    copies,
    forward_of,
    make_criterion,
    make_images,
    make_network,
    make_outputs,
)
from tests.losses.plain import COUNTS

every = pytest.mark.parametrize("name", ["bcl", "proco", "paco"])


@every
def test_the_number_of_features_is_needed(name):
    with pytest.raises(ValueError, match=f"the loss {name} needs num_features, the size of the"):
        create_loss(name, COUNTS, **SETTINGS[name])


@every
def test_logits_alone_are_not_enough(name):
    criterion, outputs = make_criterion(name, make_network()), make_outputs(name)
    for given in (outputs.logits, Outputs(outputs.logits)):
        with pytest.raises(ValueError, match=f"the loss {name} asks for features: pass ltzoo.losses.Outputs"):
            criterion(given, TARGETS)


@every
def test_features_of_another_width_or_number_of_views_are_refused(name):
    criterion, outputs = make_criterion(name, make_network()), make_outputs(name)
    views = LOSSES[name].model_views or LOSSES[name].views
    wide = Outputs(outputs.logits, features=outputs.features.repeat(1, 1, 2), images=outputs.images)
    with pytest.raises(ValueError, match=rf"features \(B, {views}, 5\) of {views} views?.*, not .* \(6, {views}, 10\)"):
        criterion(wide, TARGETS)
    twice = Outputs(outputs.logits.repeat(1, 2, 1), features=outputs.features.repeat(1, 2, 1), images=outputs.images)
    with pytest.raises(ValueError, match=rf"needs logits \(B, {views}, C\).*, not \(6, {2 * views}, 4\)"):
        criterion(twice, TARGETS)


@pytest.mark.parametrize("name", ["proco", "paco"])
def test_mixed_images_do_not_enter_a_state(name):
    criterion, outputs = make_criterion(name, make_network()), make_outputs(name)
    mixed = MixedTargets(TARGETS.unsqueeze(1).repeat(1, 2), torch.full((6, 2), 0.5))
    with pytest.raises(ValueError, match=f"the loss {name} needs images of one class each: turn mixup and CutMix off"):
        criterion.commit(outputs.detach(), mixed)


@every
def test_a_step_refuses_mixed_images_before_any_pass(name):
    model, passes = make_network(), []
    criterion = make_criterion(name, model)
    model.conv.register_forward_hook(lambda *_: passes.append(1))
    mixed = MixedTargets(TARGETS.unsqueeze(1).repeat(1, 2), torch.full((6, 2), 0.5))
    table, options = NoPerturbation().table(torch.tensor(COUNTS)), StepOptions(forward=forward_of(name, model))
    with pytest.raises(
        ValueError, match=r"compares the images of a batch by their classes.*: turn mixup and CutMix off"
    ):
        perturbed_backward(model, criterion, make_images(name), mixed, table, options=options)
    assert passes == []


@every
def test_the_flags_of_module_and_record_agree(name):
    criterion, kind = make_criterion(name), LOSSES[name]
    assert isinstance(criterion, LossModule)
    for flag in ("asks", "ties_images", "single_process", "gathers_images"):
        assert getattr(criterion, flag) == getattr(kind, flag)
    assert kind(**SETTINGS[name]).logit_scale == (1.0 if name == "paco" else 1.5)
    assert (kind.views, kind.model_views, kind.ties_images) == ((2, 1, True) if name == "paco" else (3, None, True))


@every
def test_attaching_does_nothing_by_default_and_adds_no_parameter(name):
    criterion = make_criterion(name)
    before = [key for key, _ in criterion.named_parameters()]
    criterion.attach(make_network())
    assert [key for key, _ in criterion.named_parameters()] == before


@pytest.mark.parametrize("name", ["bcl", "paco"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda criterion: pickle.loads(pickle.dumps(criterion))])
def test_a_copy_follows_no_model_until_it_is_attached(name, copied):
    """It would follow a copy of the model, which nobody trains."""
    model, outputs = make_network(), make_outputs(name)
    criterion = make_criterion(name, model)
    other = copied(criterion)
    assert_same_state(other, copies(criterion))
    with pytest.raises(ValueError, match=r"call attach\(model\) before training, also for a copy of the loss"):
        other(outputs, TARGETS)
    other.attach(model)
    assert torch.equal(other(outputs, TARGETS), criterion(outputs, TARGETS))


@every
def test_the_example_runs(name):
    """As it stands in the module's docstring, for two batches."""
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(type(make_criterion(name))), re.S)
    torch.manual_seed(0)
    model = timm.create_model("resnet20_cifar", in_chans=1, num_classes=10)
    views = torch.randn(2, 8, LOSSES[name].views, 1, 16, 16)
    names = {
        "ltzoo": ltzoo,
        "torch": torch,
        "Outputs": Outputs,
        "model": model,
        "class_counts": [130, 92, 66, 47, 33, 24, 17, 12, 8, 6],
        "loader": [(images, torch.arange(8)) for images in views],
        "epochs": 1,
    }
    before = model.get_classifier().weight.detach().clone()
    exec(textwrap.dedent(code), names)
    assert all(bool(parameter.isfinite().all()) for parameter in names["criterion"].parameters())
    assert not torch.equal(model.get_classifier().weight, before)
