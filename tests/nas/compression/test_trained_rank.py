"""Trained rank pruning: selection, truncation, sub-gradient, final ranks, and what it is for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.compression import Compressed, Compression, TrainedRank, with_ranks
from nas.compression.forms import FORMS, Layer, form_of, sizes_of
from nas.compression.low_rank import decomposed, factorized, rank_by_energy
from nas.dataspec import DataSpec
from nas.errors import SpaceError
from nas.space import sample
from search_spaces.backbones import backbone
from search_spaces.superbit import BackboneSpace

DATA = DataSpec((2, 8, 8), "classes", 4)


def network(width: int = 8, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=bias),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 4),
    )


def matrix(layer: Layer, form: str) -> Tensor:
    return form_of(form).matrix(layer.weight.reshape(sizes_of(layer)))


def backward(net: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(16, 2, 8, 8, generator=generator), torch.arange(16) % 4
    net.zero_grad()
    torch.autograd.backward(F.cross_entropy(net(x), y))


@pytest.mark.parametrize("form", FORMS)
def test_the_pull_is_the_gradient_of_the_nuclear_norm(form: str) -> None:
    """Against autograd through the singular values, where nothing is cut off."""
    net = network().double()
    trained = TrainedRank(net, form, every=1, energy=1.0, nuclear=0.7)
    layers = dict(trained.layers)
    trained.before_forward()
    wanted = {}
    for name, layer in layers.items():
        norm = torch.linalg.svdvals(matrix(layer, form)).sum()
        (wanted[name],) = torch.autograd.grad(norm, layer.weight)
        layer.weight.grad = torch.full_like(layer.weight, 0.25)
    trained.before_step()
    for name, layer in layers.items():
        torch.testing.assert_close(layer.weight.grad, 0.25 + 0.7 * wanted[name])


def test_a_step_lowers_every_singular_value_kept_by_the_same() -> None:
    net = network().double()
    trained = TrainedRank(net, every=1, energy=0.9, nuclear=0.3, skip=0)
    trained.before_forward()
    before = {n: torch.linalg.svdvals(matrix(m, "channel")) for n, m in trained.layers.items()}
    for layer in trained.layers.values():
        layer.weight.grad = torch.zeros_like(layer.weight)
    trained.before_step()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    for name, layer in trained.layers.items():
        kept = before[name] > 1e-9
        after = torch.linalg.svdvals(matrix(layer, "channel"))
        torch.testing.assert_close(after, (before[name] - 0.03 * kept).detach())


@pytest.mark.parametrize("form", FORMS)
def test_before_the_forward_every_weight_has_its_rank(form: str) -> None:
    net = network()
    trained = TrainedRank(net, form, every=1, energy=0.6, skip=1)
    assert list(trained.layers) == ["2", "4"]
    original = copy.deepcopy(net)
    ranks = {
        name: rank_by_energy(decomposed(layer, form)[1], 0.6)
        for name, layer in trained.layers.items()
    }
    trained.before_forward()
    for name, layer in trained.layers.items():
        values = torch.linalg.svdvals(matrix(layer, form)).detach()
        assert ranks[name] < values.shape[-1]
        assert float(values[..., ranks[name] :].max()) < 1e-5 * float(values.max())
        nearest = factorized(original.get_submodule(name), form, ranks[name])
        x = torch.randn(2, layer.weight.shape[1], 6, 6)
        torch.testing.assert_close(layer(x), nearest(x), rtol=1e-4, atol=1e-5)


def test_every_third_step_and_no_other_is_changed() -> None:
    net = network()
    trained = TrainedRank(net, every=3, energy=0.5)
    for step in range(1, 7):
        before = copy.deepcopy(net.state_dict())
        trained.before_forward()
        changed = any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())
        assert changed == (step % 3 == 0)
        backward(net)
        gradients = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
        trained.before_step()
        pulled = [
            n
            for n, p in net.named_parameters()
            if p.grad is not None and not torch.equal(p.grad, gradients[n])
        ]
        assert pulled == (["4.weight"] if step % 3 == 0 else [])


def test_without_a_nuclear_norm_gradients_stay() -> None:
    net = network()
    trained = TrainedRank(net, every=1, nuclear=0.0)
    trained.before_forward()
    backward(net)
    before = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    trained.before_step()
    after = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def names(**settings: Any) -> list[str]:
    return list(TrainedRank(backbone("resnet20", DATA, channels=4), **settings).layers)


def test_the_layers_are_those_of_the_published_code() -> None:
    """ResNet-20: 19 convolutions of 3x3, the first two left out, two of stride 2; no 1x1 ones."""
    found = names()
    assert len(found) == 19 - 2 - 2
    assert found[0] == "features.stage1.0.body.conv2.conv"
    assert not any("shortcut" in name for name in found)
    strided = names(strided=True)
    assert set(strided) - set(found) == {
        f"features.stage{stage}.0.body.conv1.conv" for stage in (2, 3)
    }
    assert len(names(skip=0)) == 17


def test_grouped_convolutions_and_the_auxiliary_head_are_left_alone() -> None:
    net = nn.Module()
    net.body = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    net.auxiliary = nn.Conv2d(4, 4, 3)
    assert list(TrainedRank(net, skip=0).layers) == ["body.1"]


def test_only_layers_that_two_make_cheaper_become_two() -> None:
    net = network(16)
    first, second = (net[2], net[4])
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    with torch.no_grad():
        torch.nn.init.orthogonal_(second.weight)  # all singular values are equal
        first.weight.copy_(torch.randn(16, 1, 1, 1) * torch.randn(1, 16, 3, 3))
    trained = TrainedRank(net, skip=1)
    assert trained.ranks() == {"2": 1}
    expected = copy.deepcopy(net)
    x = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(with_ranks(net, "channel", {"2": 1})(x), expected(x))


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped() -> None:
    def steps(net: nn.Module, trained: TrainedRank, count: int) -> None:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(count):
            trained.before_forward()
            backward(net)
            trained.before_step()
            optimizer.step()

    net = network()
    whole = TrainedRank(net, every=3)
    steps(net, whole, 2)
    other = copy.deepcopy(net)
    resumed = TrainedRank(other, every=3)
    resumed.load_state_dict(whole.state_dict())
    steps(net, whole, 5)
    steps(other, resumed, 5)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "chanel"}, "no form 'chanel'"),
        ({"energy": 0.0}, "energy is a share above 0"),
        ({"final": 1.5}, "final is a share above 0"),
        ({"every": 0}, "needs every >= 1"),
        ({"nuclear": -1.0}, "nuclear >= 0"),
        ({"nuclear": float("nan")}, "nuclear >= 0"),
        ({"skip": 3}, r"no layer .* behind the first 3; lower trainer\.low_rank\.skip"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        TrainedRank(network(), **settings)


def test_factorized_and_quantized_networks_are_refused() -> None:
    with pytest.raises(SpaceError, match="'2' is of low rank already"):
        TrainedRank(with_ranks(network(), "channel", {"2": 2}))
    space = Compressed(BackboneSpace(DATA, "resnet20", {"channels": 4}), Compression(ends=8))
    quantized = space.network(sample(space, torch.Generator().manual_seed(0)))
    with pytest.raises(SpaceError, match="no layer to train to a low rank"):
        TrainedRank(quantized)


# What it is good for, in seconds: a small network on noisy, shifted templates.


def images(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """``count`` images of 3x12x12: one of three templates of ten classes, shifted, with noise."""
    generator = torch.Generator().manual_seed(seed)
    templates = torch.randn(10, 3, 3, 6, 6, generator=generator)
    y = torch.randint(10, (count,), generator=generator)
    variant = torch.randint(3, (count,), generator=generator)
    x = torch.randn(count, 3, 12, 12, generator=generator)
    shifts = torch.randint(0, 7, (count, 2), generator=generator).tolist()
    for i, (down, right) in enumerate(shifts):
        x[i, :, down : down + 6, right : right + 6] += templates[y[i], variant[i]]
    return x, y


def classifier(seed: int, width: int = 32) -> nn.Sequential:
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for c_in in (3, width, width):
        parts += [nn.Conv2d(c_in, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if len(parts) < 8 else []
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


LAYERS = ("4", "8")


def learnt(seed: int, x: Tensor, y: Tensor, *, low_rank: bool) -> nn.Module:
    net = classifier(seed).train()
    trained = TrainedRank(net, every=10, energy=0.9, nuclear=3e-4, skip=1) if low_rank else None
    assert trained is None or tuple(trained.layers) == LAYERS
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6 * 30)
    order = torch.Generator().manual_seed(seed)
    for _ in range(6):
        for chosen in torch.split(torch.randperm(len(x), generator=order), 50):
            if trained is not None:
                trained.before_forward()
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            if trained is not None:
                trained.before_step()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((net(x).argmax(1) == y).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_what_was_trained_so_loses_less_at_a_fixed_rank_and_has_a_lower_one(seed: int) -> None:
    """The order of the paper; accuracy before truncation is lower at this size, as expected."""
    x, y = images(seed, 2500)
    train, test = (x[:1500], y[:1500]), (x[1500:], y[1500:])
    lost, ranks = {}, {}
    for kind in (False, True):
        net = learnt(seed, *train, low_rank=kind)
        before = accuracy(net, *test)
        assert before > 0.3  # of 0.1 by chance
        ranks[kind] = [
            rank_by_energy(decomposed(net.get_submodule(name), "channel")[1], 0.98)  # type: ignore[arg-type]
            for name in LAYERS
        ]
        cut = with_ranks(copy.deepcopy(net), "channel", dict.fromkeys(LAYERS, 8))
        lost[kind] = before - accuracy(cut, *test)
    assert lost[True] < 0.05 < lost[False]
    assert all(low < high / 2 for low, high in zip(ranks[True], ranks[False], strict=True))
