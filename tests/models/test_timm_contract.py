"""What timm expects of a model, for one small model per class: the subjects of timm's tests/test_models.py and more."""

import copy
import re
from functools import cache

import pytest
import timm
import torch
from timm.models import FeatureGraphNet, FeatureListNet, group_parameters
from torch import Tensor, nn

import ltzoo.models
from tests.models.architectures import (
    CIFAR_EXPERTS,
    CIFAR_RESNETS,
    RESNET9,
    RESNET34,
    SLIM_RESNET34,
    SLIM_RESNET50,
    SLIM_RESNET50_EXPERTS,
    SLIM_RESNET50_OTHERS,
    WIDE_RESNET9,
    WIDE_RESNET32,
    Architecture,
)

SIZE = 16

WITH_EXPERTS = [*CIFAR_EXPERTS, SLIM_RESNET50_EXPERTS]
CIFAR = [*CIFAR_RESNETS, WIDE_RESNET32, RESNET9, WIDE_RESNET9]
ARCHITECTURES = [*CIFAR, RESNET34, SLIM_RESNET50, *SLIM_RESNET50_OTHERS, *WITH_EXPERTS]
every_model = pytest.mark.parametrize("arch", ARCHITECTURES, ids=str)
# One small model of each class.
CLASSES = [CIFAR_RESNETS[0], RESNET9, SLIM_RESNET34, SLIM_RESNET50, CIFAR_EXPERTS[0], SLIM_RESNET50_EXPERTS]
each_class = pytest.mark.parametrize("arch", CLASSES, ids=str)
each_class_and_classifier = pytest.mark.parametrize(
    ("arch", "classifier"), [(arch, classifier) for arch in CLASSES for classifier in arch.classifiers], ids=str
)
ignore_script_deprecation = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE)


@cache
def untouched(arch: Architecture, classifier: str) -> nn.Module:
    """A model without further arguments, made once: initialising it takes longer than most tests."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(arch.name, classifier=classifier, **arch.options)


def create(arch: Architecture, classifier: str | None = None, **kwargs) -> nn.Module:
    """A new model for the test to change."""
    classifier = classifier or arch.classifiers[0]
    if not kwargs:
        return copy.deepcopy(untouched(arch, classifier))
    return timm.create_model(arch.name, classifier=classifier, **arch.options, **kwargs)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, grad in grads.items() if grad is None or not grad.isfinite().all() or not grad.any()]
    return grads


@each_class_and_classifier
def test_forward(arch, classifier, x):
    model = create(arch, classifier).eval()
    with torch.no_grad():
        out = model(x)
    assert out.shape == (2, model.num_classes)
    assert out.isfinite().all()
    assert not torch.allclose(out[0], out[1])


@each_class_and_classifier
def test_backward_reaches_every_parameter(arch, classifier, x):
    model = create(arch, classifier, num_classes=42)
    out = model(x)
    assert out.shape == (2, 42)
    out.square().mean().backward()
    gradients(model)


@every_model
def test_default_cfg_describes_the_model(arch):
    model = timm.create_model(arch.name, device="meta").eval()  # shapes only
    cfg, state = model.pretrained_cfg, model.state_dict()
    assert cfg["architecture"] == arch.name
    assert model.in_chans == cfg["input_size"][0]
    assert model.num_classes == cfg["num_classes"]
    assert f"{cfg['classifier']}.weight" in state
    assert f"{cfg['first_conv']}.weight" in state
    features = model.forward_features(torch.empty(1, *cfg["input_size"], device="meta"))
    assert features.shape == (1, model.num_features, *cfg["pool_size"])


@each_class_and_classifier
def test_forward_is_features_then_head(arch, classifier, x):
    model = create(arch, classifier).eval()
    features = model.forward_features(x)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    torch.testing.assert_close(pooled, features.amax((2, 3)) if "resnet9" in arch.name else features.mean((2, 3)))
    torch.testing.assert_close(model(x), model.fc(pooled))
    torch.testing.assert_close(model(x), model.forward_head(features))


@each_class_and_classifier
def test_classifier_can_be_removed_and_replaced(arch, classifier, x):
    model = create(arch, classifier).eval()
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


@each_class_and_classifier
def test_created_without_classifier(arch, classifier, x):
    assert create(arch, classifier, num_classes=0)(x).shape == (2, arch.channels[-1])
    assert create(arch, classifier, num_classes=0, global_pool="")(x).shape == arch.shapes(2, SIZE)[-1]


@each_class_and_classifier
def test_reset_classifier_keeps_pooling_device_type_and_mode(arch, classifier):
    model = create(arch, classifier, global_pool="max").to(device="meta", dtype=torch.float64).eval()
    model.reset_classifier(5)
    assert model.global_pool.pool_type == "max"
    model.reset_classifier(5, "avg")
    assert model.global_pool.pool_type == "avg"
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.float64)}
    assert not any(module.training for module in model.modules())


@each_class_and_classifier
@pytest.mark.parametrize(
    ("global_pool", "pool"),
    [
        ("avg", lambda f: f.mean((2, 3))),
        ("max", lambda f: f.amax((2, 3))),
        ("avgmax", lambda f: (f.mean((2, 3)) + f.amax((2, 3))) / 2),
        ("catavgmax", lambda f: torch.cat([f.mean((2, 3)), f.amax((2, 3))], dim=1)),
    ],
)
def test_global_pool(arch, classifier, global_pool, pool, x):
    created = create(arch, classifier, global_pool=global_pool).eval()
    reset = create(arch, classifier).eval()
    reset.reset_classifier(10, global_pool)
    for model in (created, reset):
        pooled = pool(model.forward_features(x))
        assert model.head_hidden_size == pooled.shape[1]
        torch.testing.assert_close(model(x), model.fc(pooled))


@each_class_and_classifier
def test_grey_images_of_another_size(arch, classifier):
    model = create(arch, classifier, in_chans=1, num_classes=3)
    out = model(torch.randn(4, 1, 8, 12))
    assert out.shape == (4, 3)
    out.square().sum().backward()
    gradients(model)


@each_class_and_classifier
def test_drop_rate(arch, classifier, x):
    plain = create(arch, classifier).eval()
    model = create(arch, classifier, drop_rate=0.5).eval()
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(x), plain(x))
    features = torch.ones_like(model.forward_features(x))
    model.train()
    dropped = model.forward_head(features, pre_logits=True) == 0
    assert 0.3 < dropped.float().mean() < 0.7


@each_class_and_classifier
def test_features_only(arch, classifier, x):
    model = create(arch, classifier, features_only=True).eval()
    assert model.feature_info.channels() == list(arch.channels)
    assert model.feature_info.reduction() == list(arch.reductions)
    assert model.feature_info.module_name() == list(arch.modules)
    assert [f.shape for f in model(x)] == arch.shapes(2, SIZE)


@each_class
@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "fx", "getter"])
@pytest.mark.parametrize("out_indices", [(0, 1, 2), (0, 2), (1,)])
def test_features_only_agrees_with_forward_intermediates(arch, feature_cls, out_indices, x):
    expected = create(arch).eval().forward_intermediates(x, indices=list(out_indices), intermediates_only=True)
    torch.manual_seed(0)  # the same weights, whatever the extractor calls them
    extractor = create(arch, features_only=True, feature_cls=feature_cls, out_indices=out_indices).eval()
    features = extractor(x)
    features = list(features.values()) if isinstance(features, dict) else features
    torch.testing.assert_close(features, expected)


@each_class_and_classifier
def test_forward_intermediates(arch, classifier, x):
    model = create(arch, classifier).eval()
    final, intermediates = model.forward_intermediates(x)
    assert [f.shape for f in intermediates] == arch.shapes(2, SIZE)
    torch.testing.assert_close(final, model.forward_features(x))
    torch.testing.assert_close(final, intermediates[-1])
    model.set_grad_checkpointing()
    torch.testing.assert_close(model.forward_intermediates(x), (final, intermediates))


@each_class
@pytest.mark.parametrize("indices", [None, 1, 2, [0], [0, 2], [-2]])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("stop_early", [False, True])
def test_forward_intermediates_arguments(arch, indices, norm, stop_early, x):
    model = create(arch).eval()
    _, stages = model.forward_intermediates(x)
    expected = [stages[i] for i in indices] if isinstance(indices, list) else stages[-(indices or 0) :]
    options = {"indices": indices, "norm": norm, "stop_early": stop_early}
    final, intermediates = model.forward_intermediates(x, **options)
    torch.testing.assert_close(intermediates, expected)
    stopped = expected[-1]
    if indices == [0] and arch.modules[0] == "act1":  # the stem's pooling comes after what it puts out
        stopped = model.maxpool(stopped)
    torch.testing.assert_close(final, stopped if stop_early else stages[-1])
    torch.testing.assert_close(model.forward_intermediates(x, intermediates_only=True, **options), expected)


@each_class
def test_feature_cfg_is_passed_on(arch):
    model = create(arch, features_only=True, feature_cfg={"feature_cls": "fx"})
    assert isinstance(model, FeatureGraphNet)
    assert model.feature_info.channels() == list(arch.channels)


@each_class
def test_forward_intermediates_stops_early(arch, x):
    model = create(arch).eval()
    ran = []
    levels = [model.get_submodule(name) for name in arch.modules]
    for level in levels:
        level.register_forward_hook(lambda module, *_: ran.append(module))
    model.forward_intermediates(x, indices=[1], stop_early=True)
    assert ran == levels[:2]


@each_class
def test_forward_intermediates_refuses(arch, x):
    levels = len(arch.modules)
    for options in ({"output_fmt": "NHWC"}, {"indices": [levels]}, {"indices": levels + 1}):
        with pytest.raises(AssertionError):
            create(arch).forward_intermediates(x, **options)


@each_class_and_classifier
@pytest.mark.parametrize("index", [0, 1, -1])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_prune_intermediate_layers(arch, classifier, index, checkpointing, x):
    model = create(arch, classifier)
    model.set_grad_checkpointing(checkpointing)
    expected = copy.deepcopy(model).forward_intermediates(x, indices=[index], intermediates_only=True)
    kept = model.prune_intermediate_layers([index])
    assert kept == [index % len(arch.modules)]
    assert model.num_features == model.head_hidden_size == arch.channels[index]
    assert isinstance(model.fc, nn.Identity)

    intermediates = model.forward_intermediates(x, indices=kept, intermediates_only=True)
    torch.testing.assert_close(intermediates, expected)
    intermediates[0].square().sum().backward()
    gradients(model)  # nothing unused is left
    model.eval()
    torch.testing.assert_close(model(x), model.forward_intermediates(x, indices=kept)[1][0])

    model.reset_classifier(5, "avg")
    assert model(x).shape == (2, 5)


@each_class_and_classifier
def test_prune_can_keep_the_head_of_a_whole_model_alone(arch, classifier, x):
    model = create(arch, classifier).eval()
    expected = model(x)
    last = len(arch.modules) - 1
    assert model.prune_intermediate_layers(2, prune_head=False) == [last - 1, last]
    torch.testing.assert_close(model(x), expected)
    model.prune_intermediate_layers([1], prune_head=False)
    assert isinstance(model.fc, nn.Identity)


@each_class_and_classifier
def test_grad_checkpointing_gives_the_same_gradients(arch, classifier, x):
    plain = create(arch, classifier).double()
    checkpointed = copy.deepcopy(plain)
    checkpointed.set_grad_checkpointing()
    runs = []
    first_block = checkpointed.layer3.experts[0][0] if arch in WITH_EXPERTS else checkpointed.layer3[0]
    first_block.register_forward_pre_hook(lambda *_: runs.append(1))
    for model in (plain, checkpointed):
        model(x.double()).square().sum().backward()
    assert len(runs) == 2  # forward, and once more in backward
    torch.testing.assert_close(gradients(checkpointed), gradients(plain))

    checkpointed.forward_intermediates(x.double())[0].sum().backward()
    assert len(runs) == 4
    checkpointed.set_grad_checkpointing(False)
    checkpointed(x.double()).sum().backward()
    assert len(runs) == 5


@each_class
def test_grad_checkpointing_of_a_feature_extractor(arch, x):
    plain = create(arch, features_only=True).double()
    checkpointed = copy.deepcopy(plain)
    checkpointed.set_grad_checkpointing()
    for model in (plain, checkpointed):
        sum(f.square().mean() for f in model(x.double())).backward()
    torch.testing.assert_close(gradients(checkpointed), gradients(plain))


@every_model
def test_group_matcher(arch):
    model = create(arch, device="meta")

    def expected(parameter: str, coarse: bool) -> int:
        if parameter.startswith("fc."):
            return 1 + (len(arch.blocks) if coarse else sum(arch.blocks))
        if not parameter.startswith("layer"):
            return 0
        stage, block = int(parameter[5]), int(re.search(r"\.(\d+)\.[a-z]", parameter.split("experts.")[-1])[1])
        return stage if coarse else 1 + sum(arch.blocks[: stage - 1]) + block

    for coarse in (False, True):
        groups = group_parameters(model, model.group_matcher(coarse), reverse=True)
        assert groups == {parameter: expected(parameter, coarse) for parameter, _ in model.named_parameters()}


@ignore_script_deprecation
@each_class_and_classifier
def test_torchscript(arch, classifier, x):
    model = create(arch, classifier, scriptable=True).eval()
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@ignore_script_deprecation
@each_class
def test_torchscript_of_a_feature_extractor(arch, x):
    model = create(arch, features_only=True).eval()
    assert isinstance(model, FeatureListNet)
    torch.testing.assert_close(torch.jit.script(model)(x), model(x))


@each_class_and_classifier
def test_fx(arch, classifier, x):
    model = create(arch, classifier)
    traced = copy.deepcopy(torch.fx.symbolic_trace(model))
    for module in (model, traced):
        module(x).square().sum().backward()
    torch.testing.assert_close(gradients(traced), gradients(model))
    torch.testing.assert_close(traced.eval()(x), model.eval()(x))


@pytest.mark.parametrize("classifier", CIFAR_RESNETS[0].classifiers)  # the other classes have timm's forward pass
def test_export(classifier, x):
    model = create(CIFAR_RESNETS[0], classifier).eval()
    program = torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    images = torch.randn(5, 3, SIZE, SIZE)
    torch.testing.assert_close(program.module()(images), model(images))


@each_class_and_classifier
def test_device_and_dtype(arch, classifier, x):
    model = create(arch, classifier, device="meta", dtype=torch.float64)
    assert {t.device.type for t in [*model.parameters(), *model.buffers()]} == {"meta"}
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert create(arch, classifier).to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


@each_class_and_classifier
def test_weights_load_through_timm(arch, classifier, x, tmp_path):
    source = create(arch, classifier).eval()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    options = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth")}}

    same = create(arch, classifier, **options).eval()
    assert torch.equal(same(x), source(x))

    adapted = create(arch, classifier, num_classes=5, in_chans=1, **options).eval()
    assert adapted.fc.weight.shape == (5, arch.channels[-1])
    grey = torch.randn(2, 1, SIZE, SIZE).double()  # timm sums the first convolution over the colours
    expected = source.double().forward_features(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(adapted.double().forward_features(grey), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", [arch for arch in CLASSES if "linear" in arch.classifiers], ids=str)
def test_weights_of_the_other_classifier_are_refused(arch, tmp_path):
    torch.save(create(arch, "cosine").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match=r"fc\.bias"):
        create(arch, pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "weights.pth")})


def test_every_registered_architecture_is_checked_here():
    ours = {name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("ltzoo.")}
    assert ours == {arch.name for arch in ARCHITECTURES}
    assert ours == {name for name in ltzoo.models.__all__ if name.islower()}
    assert not ours & set(timm.list_pretrained())
