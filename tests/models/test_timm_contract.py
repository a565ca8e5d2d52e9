"""What timm expects of a model, checked for each of ours: the subjects of timm's own tests/test_models.py and more."""

import copy

import pytest
import timm
import torch
from timm.models import FeatureGraphNet, FeatureListNet, group_parameters
from torch import Tensor, nn

import ltzoo.models

DEPTHS = {name: depth for depth in (20, 32, 44, 56) for name in [f"resnet{depth}_cifar"]}
CHANNELS, SIZES = [16, 32, 64], [32, 16, 8]

every_model = pytest.mark.parametrize("name", DEPTHS)
smallest = pytest.mark.parametrize("name", ["resnet20_cifar"])
every_classifier = pytest.mark.parametrize("classifier", ["linear", "cosine"])
ignore_script_deprecation = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 32, 32)


def create(name: str, classifier: str = "linear", **kwargs) -> nn.Module:
    return timm.create_model(name, classifier=classifier, **kwargs)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, grad in grads.items() if grad is None or not grad.isfinite().all() or not grad.any()]
    return grads


@every_model
@every_classifier
def test_forward(name, classifier, x):
    model = create(name, classifier).eval()
    with torch.no_grad():
        out = model(x)
    assert out.shape == (2, 10)
    assert out.isfinite().all()
    assert not torch.allclose(out[0], out[1])


@every_model
@every_classifier
def test_backward_reaches_every_parameter(name, classifier, x):
    model = create(name, classifier, num_classes=42)
    out = model(x)
    assert out.shape == (2, 42)
    out.square().mean().backward()
    gradients(model)


@every_model
@every_classifier
def test_default_cfg_describes_the_model(name, classifier, x):
    model = create(name, classifier).eval()
    cfg, state = model.pretrained_cfg, model.state_dict()
    assert cfg["architecture"] == name
    assert model.in_chans == cfg["input_size"][0]
    assert model.num_classes == cfg["num_classes"]
    assert f"{cfg['classifier']}.weight" in state
    assert f"{cfg['first_conv']}.weight" in state
    features = model.forward_features(torch.randn(1, *cfg["input_size"]))
    assert features.shape == (1, model.num_features, *cfg["pool_size"])


@every_model
@every_classifier
def test_forward_is_features_then_head(name, classifier, x):
    model = create(name, classifier).eval()
    features = model.forward_features(x)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    torch.testing.assert_close(pooled, features.mean(dim=(2, 3)))
    torch.testing.assert_close(model(x), model.fc(pooled))
    torch.testing.assert_close(model(x), model.forward_head(features))


@every_model
@every_classifier
def test_classifier_can_be_removed_and_replaced(name, classifier, x):
    model = create(name, classifier).eval()
    pooled = model.forward_head(model.forward_features(x), pre_logits=True)
    kind = type(model.get_classifier())
    assert model.get_classifier() is model.get_submodule(model.get_classifier(name_only=True))

    model.reset_classifier(0)
    assert model.num_classes == 0
    assert isinstance(model.get_classifier(), nn.Identity)
    torch.testing.assert_close(model(x), pooled)

    model.reset_classifier(5)
    assert model.num_classes == 5
    assert type(model.get_classifier()) is kind
    assert model(x).shape == (2, 5)

    model.reset_classifier(0, "")
    torch.testing.assert_close(model(x), model.forward_features(x))


@every_model
@every_classifier
def test_created_without_classifier(name, classifier, x):
    assert create(name, classifier, num_classes=0)(x).shape == (2, 64)
    assert create(name, classifier, num_classes=0, global_pool="")(x).shape == (2, 64, 8, 8)


@smallest
@every_classifier
def test_reset_classifier_keeps_pooling_device_type_and_mode(name, classifier):
    model = create(name, classifier, global_pool="max").to(device="meta", dtype=torch.float64).eval()
    model.reset_classifier(5)
    assert model.global_pool.pool_type == "max"
    model.reset_classifier(5, "avg")
    assert model.global_pool.pool_type == "avg"
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.float64)}
    assert not any(module.training for module in model.modules())


@smallest
@every_classifier
@pytest.mark.parametrize(
    ("global_pool", "pool"),
    [
        ("avg", lambda f: f.mean((2, 3))),
        ("max", lambda f: f.amax((2, 3))),
        ("avgmax", lambda f: (f.mean((2, 3)) + f.amax((2, 3))) / 2),
        ("catavgmax", lambda f: torch.cat([f.mean((2, 3)), f.amax((2, 3))], dim=1)),
    ],
)
def test_global_pool(name, classifier, global_pool, pool, x):
    created = create(name, classifier, global_pool=global_pool).eval()
    reset = create(name, classifier).eval()
    reset.reset_classifier(10, global_pool)
    for model in (created, reset):
        pooled = pool(model.forward_features(x))
        assert model.head_hidden_size == pooled.shape[1]
        torch.testing.assert_close(model(x), model.fc(pooled))


@every_model
@every_classifier
def test_grey_images_of_another_size(name, classifier):
    model = create(name, classifier, in_chans=1, num_classes=3)
    out = model(torch.randn(4, 1, 16, 16))
    assert out.shape == (4, 3)
    out.square().sum().backward()
    gradients(model)


@smallest
@every_classifier
def test_drop_rate(name, classifier, x):
    plain = create(name, classifier).eval()
    model = create(name, classifier, drop_rate=0.5).eval()
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(x), plain(x))
    features = model.forward_features(x)
    model.train()
    dropped = model.forward_head(features, pre_logits=True) == 0
    assert 0.3 < dropped.float().mean() < 0.7


@every_model
@every_classifier
def test_features_only(name, classifier, x):
    model = create(name, classifier, features_only=True).eval()
    assert model.feature_info.channels() == CHANNELS
    assert model.feature_info.reduction() == [1, 2, 4]
    assert [tuple(f.shape) for f in model(x)] == [(2, c, s, s) for c, s in zip(CHANNELS, SIZES, strict=True)]


@smallest
@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "fx", "getter"])
@pytest.mark.parametrize("out_indices", [(0, 1, 2), (0, 2), (1,)])
def test_features_only_agrees_with_forward_intermediates(name, feature_cls, out_indices, x):
    torch.manual_seed(0)
    expected = create(name).eval().forward_intermediates(x, indices=list(out_indices), intermediates_only=True)
    torch.manual_seed(0)  # the same weights, whatever the extractor calls them
    extractor = create(name, features_only=True, feature_cls=feature_cls, out_indices=out_indices).eval()
    features = extractor(x)
    features = list(features.values()) if isinstance(features, dict) else features
    torch.testing.assert_close(features, expected)


@every_model
@every_classifier
def test_forward_intermediates(name, classifier, x):
    model = create(name, classifier).eval()
    final, intermediates = model.forward_intermediates(x)
    assert [tuple(f.shape) for f in intermediates] == [(2, c, s, s) for c, s in zip(CHANNELS, SIZES, strict=True)]
    torch.testing.assert_close(final, model.forward_features(x))
    torch.testing.assert_close(final, intermediates[-1])
    model.set_grad_checkpointing()
    torch.testing.assert_close(model.forward_intermediates(x), (final, intermediates))


@smallest
@pytest.mark.parametrize(
    ("indices", "kept"), [(None, [0, 1, 2]), (1, [2]), (2, [1, 2]), ([0], [0]), ([0, 2], [0, 2]), ([-2], [1])]
)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("stop_early", [False, True])
def test_forward_intermediates_arguments(name, indices, kept, norm, stop_early, x):
    model = create(name).eval()
    _, stages = model.forward_intermediates(x)
    expected = [stages[i] for i in kept]
    options = {"indices": indices, "norm": norm, "stop_early": stop_early}
    final, intermediates = model.forward_intermediates(x, **options)
    torch.testing.assert_close(intermediates, expected)
    torch.testing.assert_close(final, expected[-1] if stop_early else stages[-1])
    torch.testing.assert_close(model.forward_intermediates(x, intermediates_only=True, **options), expected)


@smallest
def test_feature_cfg_is_passed_on(name):
    model = create(name, features_only=True, feature_cfg={"feature_cls": "fx"})
    assert isinstance(model, FeatureGraphNet)
    assert model.feature_info.channels() == CHANNELS


@smallest
def test_forward_intermediates_stops_early(name, x):
    model = create(name).eval()
    ran = []
    for stage in (model.layer1, model.layer2, model.layer3):
        stage.register_forward_hook(lambda module, *_: ran.append(module))
    model.forward_intermediates(x, indices=[1], stop_early=True)
    assert ran == [model.layer1, model.layer2]


@smallest
@pytest.mark.parametrize("options", [{"output_fmt": "NHWC"}, {"indices": [3]}, {"indices": 4}])
def test_forward_intermediates_refuses(name, options, x):
    with pytest.raises(AssertionError):
        create(name).forward_intermediates(x, **options)


@smallest
@every_classifier
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_prune_intermediate_layers(name, classifier, index, checkpointing, x):
    model = create(name, classifier)
    model.set_grad_checkpointing(checkpointing)
    expected = copy.deepcopy(model).forward_intermediates(x, indices=[index], intermediates_only=True)
    kept = model.prune_intermediate_layers([index - 3])
    assert kept == [index]
    assert model.num_features == model.head_hidden_size == CHANNELS[index]
    assert isinstance(model.fc, nn.Identity)

    intermediates = model.forward_intermediates(x, indices=kept, intermediates_only=True)
    torch.testing.assert_close(intermediates, expected)
    intermediates[0].square().sum().backward()
    gradients(model)  # nothing unused is left
    model.eval()
    torch.testing.assert_close(model(x), model.forward_intermediates(x, indices=kept)[1][0])

    model.reset_classifier(5, "avg")
    assert model(x).shape == (2, 5)


@smallest
@every_classifier
def test_prune_can_keep_the_head_of_a_whole_model_alone(name, classifier, x):
    model = create(name, classifier).eval()
    expected = model(x)
    assert model.prune_intermediate_layers(2, prune_head=False) == [1, 2]
    torch.testing.assert_close(model(x), expected)
    model.prune_intermediate_layers([1], prune_head=False)
    assert isinstance(model.fc, nn.Identity)


@every_model
@every_classifier
def test_grad_checkpointing_gives_the_same_gradients(name, classifier, x):
    plain = create(name, classifier).double()
    checkpointed = copy.deepcopy(plain)
    checkpointed.set_grad_checkpointing()
    runs = []
    checkpointed.layer3[0].register_forward_pre_hook(lambda *_: runs.append(1))
    for model in (plain, checkpointed):
        model(x.double()).square().sum().backward()
    assert len(runs) == 2  # forward, and once more in backward
    torch.testing.assert_close(gradients(checkpointed), gradients(plain))

    checkpointed.forward_intermediates(x.double())[0].sum().backward()
    assert len(runs) == 4
    checkpointed.set_grad_checkpointing(False)
    checkpointed(x.double()).sum().backward()
    assert len(runs) == 5


@smallest
def test_grad_checkpointing_of_a_feature_extractor(name, x):
    plain = create(name, features_only=True).double()
    checkpointed = copy.deepcopy(plain)
    checkpointed.set_grad_checkpointing()
    for model in (plain, checkpointed):
        sum(f.square().mean() for f in model(x.double())).backward()
    torch.testing.assert_close(gradients(checkpointed), gradients(plain))


@every_model
def test_group_matcher(name):
    model = create(name)
    num_blocks = (DEPTHS[name] - 2) // 6

    def expected(parameter: str, coarse: bool) -> int:
        if parameter.startswith("fc."):
            return 4 if coarse else 1 + 3 * num_blocks
        if not parameter.startswith("layer"):
            return 0
        stage, block = int(parameter[5]), int(parameter.split(".")[1])
        return stage if coarse else 1 + (stage - 1) * num_blocks + block

    for coarse in (False, True):
        groups = group_parameters(model, model.group_matcher(coarse), reverse=True)
        assert groups == {parameter: expected(parameter, coarse) for parameter, _ in model.named_parameters()}


@ignore_script_deprecation
@every_model
@every_classifier
def test_torchscript(name, classifier, x):
    model = create(name, classifier, scriptable=True).eval()
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@ignore_script_deprecation
@smallest
def test_torchscript_of_a_feature_extractor(name, x):
    model = create(name, features_only=True).eval()
    assert isinstance(model, FeatureListNet)
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@every_model
@every_classifier
def test_fx(name, classifier, x):
    model = create(name, classifier)
    traced = copy.deepcopy(torch.fx.symbolic_trace(model))
    for module in (model, traced):
        module(x).square().sum().backward()
    torch.testing.assert_close(gradients(traced), gradients(model))
    torch.testing.assert_close(traced.eval()(x), model.eval()(x))


@smallest
@every_classifier
def test_export(name, classifier, x):
    model = create(name, classifier).eval()
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), model(images))


@smallest
@every_classifier
def test_device_and_dtype(name, classifier, x):
    model = create(name, classifier, device="meta", dtype=torch.float64)
    assert {t.device.type for t in [*model.parameters(), *model.buffers()]} == {"meta"}
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert create(name, classifier).to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


@smallest
@every_classifier
def test_weights_load_through_timm(name, classifier, x, tmp_path):
    source = create(name, classifier).eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    options = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth")}}

    same = create(name, classifier, **options).eval()
    assert torch.equal(same(x), source(x))

    adapted = create(name, classifier, num_classes=5, in_chans=1, **options).eval()
    assert adapted.fc.weight.shape == (5, 64)
    grey = torch.randn(2, 1, 32, 32).double()  # timm sums the first convolution over the colours
    expected = source.double().forward_features(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(adapted.double().forward_features(grey), expected, rtol=1e-5, atol=1e-5)


@smallest
def test_weights_of_the_other_classifier_are_refused(name, tmp_path):
    torch.save(create(name, "cosine").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match=r"fc\.bias"):
        create(name, pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "weights.pth")})


def test_every_registered_architecture_is_checked_here():
    assert set(timm.list_models(module="cifar_resnet")) == set(DEPTHS)
    assert set(DEPTHS) == {name for name in ltzoo.models.__all__ if name.endswith("_cifar")}
