import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.batch import Batch
from nas.engine.device import autocast_of
from nas.engine.train import Auxiliary, Droppable, DropPathSchedule, Supervised
from nas.tasks import Classification


class TwoHeads(nn.Module):
    """Knows what training does to it: a second head, droppable edges, counted calls."""

    def __init__(self, auxiliary: bool = True) -> None:
        super().__init__()
        self.body = nn.Linear(3, 5)
        self.head = nn.Linear(5, 2)
        self.auxiliary = nn.Linear(5, 2) if auxiliary else None
        self.probability = -1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())  # type: ignore[no-any-return]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert self.auxiliary is not None
        features = self.body(x).relu()
        return self.head(features), self.auxiliary(features)

    def set_drop_path(self, probability: float) -> None:
        self.probability = probability


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(6, 3, generator=generator), torch.arange(6) % 2)


def supervised(network: nn.Module, **changes: Any) -> Supervised:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    return Supervised(network, Classification(), optimizer, **changes)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_a_step_is_one_of_the_optimizer_on_the_clipped_gradient(auxiliary: bool) -> None:
    """Against a plain loop: w - lr (mu m + min(1, c/|g|) g + wd w), heads weighted 1 and 0.4."""
    net = TwoHeads(auxiliary)
    update = supervised(net, clip=0.05)
    momenta = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for _ in range(3):
        twin = copy.deepcopy(net)
        x, y = batch()
        loss = nn.functional.cross_entropy(twin(x), y)
        if twin.auxiliary is not None:
            extra = twin.auxiliary(twin.body(x).relu())
            loss = loss + 0.4 * nn.functional.cross_entropy(extra, y)
        weights = dict(twin.named_parameters())
        gradients = dict(
            zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True)
        )
        norm = torch.stack([g.norm() for g in gradients.values()]).norm()
        found = update.step(batch())
        assert float(norm) > 0.05
        for name, parameter in net.named_parameters():
            g = gradients[name] * 0.05 / norm + 0.01 * weights[name].detach()
            momenta[name] = 0.9 * momenta[name] + g
            wanted = weights[name].detach() - 0.5 * momenta[name]
            torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-4, atol=1e-6)
        assert set(found) == {"loss/train", "accuracy/train"}
        assert float(found["loss/train"]) == pytest.approx(float(loss.detach()), rel=1e-6)
        assert not any(value.requires_grad for value in found.values())


def test_a_step_trains_in_training_mode_and_does_not_touch_the_batch() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    before = batch()
    given = batch()
    supervised(net).step(given)
    assert net.training
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert int(norm.num_batches_tracked) == 1  # type: ignore[arg-type]
    assert torch.equal(given.inputs, before.inputs)


def test_one_phase_over_the_stream_train() -> None:
    update = supervised(TwoHeads())
    (phase,) = update.phases(7)
    assert (phase.name, phase.epochs, phase.streams) == ("retrain", 7, ("train",))
    assert phase.step == update.step


def test_state_restored_elsewhere_goes_on_bit_for_bit() -> None:
    one = supervised(TwoHeads())
    one.step(batch())
    state = copy.deepcopy(one.state_dict())
    other = supervised(TwoHeads())
    other.load_state_dict(state)
    for update in (one, other):
        update.step(batch())
    for first, second in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(first, second)


class Halving:
    """Halves the weights before a forward, and adds 2 to the clipped gradients."""

    def __init__(self, net: nn.Module) -> None:
        self.net, self.steps = net, 0

    @torch.no_grad()
    def before_forward(self) -> None:
        self.steps += 1
        for parameter in self.net.parameters():
            parameter.mul_(0.5)

    @torch.no_grad()
    def before_step(self) -> None:
        for parameter in self.net.parameters():
            assert parameter.grad is not None
            parameter.grad.add_(2.0)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"]


def test_steering_acts_before_the_forward_and_behind_the_clipping() -> None:
    net = TwoHeads(auxiliary=False)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    x, y = batch()
    gradients = torch.autograd.grad(
        nn.functional.cross_entropy(twin(x), y), list(twin.parameters())
    )
    norm = torch.stack([g.norm() for g in gradients]).norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    update = Supervised(net, Classification(), optimizer, clip=0.01, steering=Halving(net))
    update.step(batch())
    for moved, start, g in zip(net.parameters(), twin.parameters(), gradients, strict=True):
        wanted = start - 0.5 * (0.01 * g / norm + 2.0)
        torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-5)


def test_steering_is_part_of_the_state_and_stands_in_the_way_of_a_graph() -> None:
    net = TwoHeads()
    update = supervised(net, steering=Halving(net))
    update.step(batch())
    again = supervised(net, steering=Halving(net))
    again.load_state_dict(update.state_dict())
    assert isinstance(again.steering, Halving)
    assert again.steering.steps == 1
    assert "steering" not in supervised(net).state_dict()
    assert supervised(net).obstacle() is None
    assert "Halving decides on the host" in str(update.obstacle())


def test_bf16_holds_for_both_heads_and_leaves_the_weights_fp32() -> None:
    net = TwoHeads()
    seen: list[torch.dtype] = []
    for head in (net.head, net.auxiliary):
        assert head is not None
        head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    supervised(net, autocast=autocast_of(torch.device("cpu"), "bf16")).step(batch())
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


def test_bf16_and_channels_last_go_together() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 2))
    twin = copy.deepcopy(net).to(memory_format=torch.channels_last)
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    targets = batch().targets
    bf16 = autocast_of(torch.device("cpu"), "bf16")
    found = supervised(net, autocast=bf16).step(Batch(images, targets))
    last = Batch(images.contiguous(memory_format=torch.channels_last), targets)
    other = supervised(twin, autocast=bf16).step(last)
    torch.testing.assert_close(other["loss/train"], found["loss/train"], rtol=0.02, atol=0.02)
    assert twin[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
    for one, two in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(two, one, rtol=0.05, atol=0.05)


def test_drop_path_rises_linearly_from_zero() -> None:
    net = TwoHeads()
    assert isinstance(net, Droppable)
    assert isinstance(net, Auxiliary)
    schedule = DropPathSchedule(net, peak=0.3, epochs=600)
    found = []
    for epoch in (0, 300, 599):
        schedule.on_epoch(epoch)
        found.append(net.probability)
    assert found == pytest.approx([0.0, 0.15, 0.2995])
