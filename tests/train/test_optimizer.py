"""The base optimizer: which weights move, and each at which rate."""

from dataclasses import replace
from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from ltzoo.recipes import Optimizer, Trainable
from ltzoo.train.optimizer import make_optimizer
from ltzoo.train.trainable import freeze

PLAIN = Optimizer(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=False)


def model(name="resnet18", **options) -> nn.Module:
    return timm.create_model(name, num_classes=5, **options)


def rates(settings: Optimizer, of: nn.Module) -> dict[str, tuple[float, float]]:
    """Scale of the learning rate and weight decay of each weight by its name."""
    names = {id(parameter): name for name, parameter in of.named_parameters()}
    groups = make_optimizer(settings, of).param_groups
    found = {
        names[id(parameter)]: (group.get("lr_scale", 1.0), group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert sum(len(group["params"]) for group in groups) == len(found)
    return found


def test_by_default_every_weight_moves_and_decays_alike():
    of = model()
    assert rates(PLAIN, of) == {name: (1.0, 0.01) for name, _ in of.named_parameters()}
    optimizer = make_optimizer(PLAIN, of)
    assert isinstance(optimizer, torch.optim.SGD)
    assert all("momentum_buffer" in optimizer.state[parameter] for parameter in of.parameters())


def test_vectors_can_be_kept_from_decaying():
    of = model()
    found = rates(replace(PLAIN, decay_vectors=False), of)
    for name, parameter in of.named_parameters():
        assert found[name] == (1.0, 0.0 if parameter.ndim < 2 else 0.01), name


@pytest.mark.parametrize("decay_vectors", [True, False])
@pytest.mark.parametrize("layer_decay", [None, 0.5])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_vectors_of_the_loss_and_of_a_slow_head_are_treated_like_the_models(kind, layer_decay, decay_vectors):
    of, head = model(), nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    slow = list(of.fc.parameters()) if layer_decay is None else []
    settings = replace(PLAIN, kind=kind, decay_vectors=decay_vectors, layer_decay=layer_decay)
    groups = make_optimizer(settings, of, list(head.parameters()), (slow, 0.5)).param_groups
    found = {id(p): (group.get("lr_scale", 1.0), group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups) == len([*of.parameters(), *head.parameters()])
    for scale, parameters in ((1.0, head.parameters()), (0.5, slow)):
        for parameter in parameters:
            decays = decay_vectors or parameter.ndim > 1
            assert found[id(parameter)] == (scale, 0.01 if decays else 0.0), tuple(parameter.shape)


@pytest.mark.parametrize("decay_vectors", [True, False])
def test_rates_fall_from_the_head_down(decay_vectors):
    of = model()
    found = rates(replace(PLAIN, layer_decay=0.5, decay_vectors=decay_vectors), of)
    downwards = ("fc.weight", "layer4.1.conv1.weight", "layer1.0.conv1.weight", "conv1.weight")
    scales = [found[name][0] for name in downwards]
    assert scales[0] == 1.0
    assert all(0 < lower < upper for upper, lower in pairwise(scales))
    assert set(found) == {name for name, _ in of.named_parameters()}
    assert found["bn1.weight"][1] == (0.01 if decay_vectors else 0.0)


def test_a_vits_own_exceptions_are_kept():
    of = model("vit_tiny_patch16_224", img_size=32)
    assert rates(replace(PLAIN, decay_vectors=False), of)["pos_embed"] == (1.0, 0.0)
    assert rates(replace(PLAIN, decay_vectors=False, layer_decay=0.7), of)["pos_embed"][1] == 0.0


def test_adamw_is_torchs():
    torch.manual_seed(0)
    ours, plain = (nn.Sequential(nn.Linear(3, 2)) for _ in range(2))
    plain.load_state_dict(ours.state_dict())
    of = replace(PLAIN, kind="adamw", momentum=0.8, beta2=0.95, lr=0.01)
    steps = make_optimizer(of, ours), torch.optim.AdamW(plain.parameters(), 0.01, (0.8, 0.95), weight_decay=0.01)
    for _ in range(3):
        images = torch.randn(4, 3)
        for net, optimizer in zip((ours, plain), steps, strict=True):
            optimizer.zero_grad()
            net(images).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours[0].weight, plain[0].weight)


def test_a_frozen_body_keeps_weights_and_statistics():
    of = model()
    still = freeze(of, Trainable("head"))
    assert [name for name, parameter in of.named_parameters() if parameter.requires_grad] == ["fc.weight", "fc.bias"]
    assert of.bn1 in still and of.layer4 in still and of.fc not in still and of not in still
    assert set(rates(PLAIN, of)) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "adamw", "nesterov": True}, "nesterov false"),
        ({"kind": "adamw", "beta2": 1.0}, "momentum and beta2 in"),
        ({"kind": "muon"}, "with muon set a number"),
        ({"adamw_lr": 0.1}, "with muon set a number"),
        ({"kind": "muon", "adamw_lr": 0.0}, "adamw_lr must be above 0"),
        ({"kind": "muon", "adamw_lr": 0.1, "momentum": 1.0}, "muon needs momentum"),
        ({"kind": "muon", "adamw_lr": 0.1, "layer_decay": 0.5}, "muon has one learning rate"),
        ({"layer_decay": 0.0}, "layer_decay must be above 0"),
    ],
)
def test_settings_that_make_no_sense(changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(PLAIN, **changes)


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """Five Newton-Schulz steps with the coefficients of Jordan 2024."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (wide / wide.norm()).double()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def test_muon_turns_the_momentum_of_convolutions_into_an_orthogonal_step():
    torch.manual_seed(0)
    of = timm.create_model("resnet9_cifar", channels=(4, 6, 8, 8), num_classes=3)
    settings = replace(PLAIN, kind="muon", lr=0.02, adamw_lr=0.003, weight_decay=0.1, nesterov=True)
    optimizer = make_optimizer(settings, of)
    names = {id(parameter): name for name, parameter in of.named_parameters()}
    matrices, others = ({names[id(parameter)] for parameter in group["params"]} for group in optimizer.param_groups)
    assert matrices == {name for name, parameter in of.named_parameters() if parameter.ndim == 4}
    assert others == {name for name, parameter in of.named_parameters() if parameter.ndim < 4}
    assert "fc.weight" in others
    kept = {name: parameter.detach().clone() for name, parameter in of.named_parameters()}
    momentum = {name: torch.zeros_like(value) for name, value in kept.items()}
    adam = {name: nn.Parameter(kept[name].clone()) for name in others}
    oracle = torch.optim.AdamW(list(adam.values()), 0.003, (0.9, 0.999), weight_decay=0.0, eps=1e-7)
    for _ in range(3):
        for name, parameter in of.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            if name in others:
                adam[name].grad = parameter.grad.clone()
                continue
            momentum[name] = 0.9 * momentum[name] + 0.1 * parameter.grad
            direction = 0.9 * momentum[name] + 0.1 * parameter.grad
            step = orthogonalized(direction.flatten(1)).reshape(parameter.shape).float()
            longer = max(1.0, parameter.shape[0] / parameter[0].numel()) ** 0.5
            kept[name] = kept[name] * (1 - 0.02 * 0.1) - 0.02 * longer * step
        optimizer.step()
        oracle.step()
    for name, parameter in of.named_parameters():
        # timm orthogonalizes in bfloat16.
        expected, tolerance = (adam[name], 1e-5) if name in others else (kept[name], 1e-3)
        assert torch.allclose(parameter, expected, atol=tolerance), name


def test_muon_trains_the_head_alone_with_adamw():
    of = timm.create_model("resnet9_cifar", channels=(4, 6, 8, 8), num_classes=3)
    freeze(of, Trainable("head"))
    optimizer = make_optimizer(replace(PLAIN, kind="muon", adamw_lr=0.01), of)
    before = of.fc.weight.detach().clone()
    of.fc.weight.grad = torch.ones_like(of.fc.weight)
    optimizer.step()
    assert torch.allclose(before - of.fc.weight, torch.full_like(before, 0.01), atol=1e-6)


def test_muon_leaves_slow_parameters_to_adamw_at_their_own_rate():
    of = timm.create_model("resnet9_cifar", channels=(4, 6, 8, 8), num_classes=3)
    slow = ([of.fc.weight], 0.5)
    optimizer = make_optimizer(replace(PLAIN, kind="muon", adamw_lr=0.01), of, slow=slow)
    matrices, others, last = optimizer.param_groups
    assert last["params"] == [of.fc.weight] and last["lr_scale"] == 0.5 and last["use_fallback"]
    found = {id(parameter) for group in (matrices, others) for parameter in group["params"]}
    assert found == {id(parameter) for name, parameter in of.named_parameters() if name != "fc.weight"}


@pytest.mark.parametrize(
    ("name", "left_to_adamw"),
    [
        ("vit_tiny_patch16_224", {"cls_token", "pos_embed", "head.weight"}),
        ("mobilenetv2_035", {"classifier.weight", "blocks.1.0.conv_dw.weight"}),
    ],
)
def test_muon_takes_only_whole_convolutions_and_linear_layers(name, left_to_adamw):
    of = model(name)
    names = {id(parameter): key for key, parameter in of.named_parameters()}
    matrices, others = (
        {names[id(parameter)] for parameter in group["params"]}
        for group in make_optimizer(replace(PLAIN, kind="muon", adamw_lr=0.01), of).param_groups
    )
    assert left_to_adamw <= others
    assert matrices | others == set(names.values()) and not matrices & others
    assert {key for key in matrices if "attn.qkv.weight" in key or "conv_pw.weight" in key}
