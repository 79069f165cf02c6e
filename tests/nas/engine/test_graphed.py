"""Captured steps: the same state and metrics as steps that run as they are, and no host in them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nas.batch import Batch
from nas.costs import Macs
from nas.dataspec import DataSpec
from nas.engine import cuda_graphs
from nas.engine.cuda_graphs import graphed_or_why, resolve_graph
from nas.engine.device import autocast_of
from nas.engine.graphed import AGAIN, WARM, Call, Captured, Graphed, GraphedStep, Metrics
from nas.engine.train import Droppable, Supervised
from nas.errors import ConfigError, NasError
from nas.kernels import portable_kernels
from nas.objectives import Objective, Penalty
from nas.policies import FreeLogits, Uniform
from nas.relaxations import Gumbel, Relaxation, Softmax
from nas.schedules import CosineLearningRate
from nas.searchable import apply_partial_channels, set_execution
from nas.space import SearchSpace, blueprint, sample
from nas.strategies import Bilevel, Update
from nas.strategies.optimizers import load_optimizer, make_capturable
from nas.supernet import Supernet
from nas.tasks import Classification
from search_spaces.darts import DartsSpace
from search_spaces.nasbench201 import NasBench201Space
from tests.nas.engine.host import META, Alone

adam = sys.modules[torch.optim.Adam.__module__]  # torch.optim hides it behind a name of its own
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SPEC = DataSpec((3, 8, 8), "classes", 4)
OPERATIONS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")


@pytest.fixture(autouse=True)
def capturable_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Adam count its steps in a tensor on devices where torch sees no use in it."""
    known = adam._get_capturable_supported_devices

    def more(*args: Any, **settings: Any) -> list[str]:
        return [*known(*args, **settings), "cpu", "meta"]

    monkeypatch.setattr(adam, "_get_capturable_supported_devices", more)


class Recorder:
    """Captures by remembering the call; leaves all state as it was, as a capture on a GPU does.

    Metrics are written into the same tensors at every replay.
    """

    def __init__(
        self, state: Callable[[], Any] = dict, numbers: Sequence[torch.optim.Optimizer] = ()
    ) -> None:
        self.state, self.numbers = state, numbers
        self.eager_steps = self.captures = self.replays = 0

    def eager(self, call: Call) -> Metrics:
        self.eager_steps += 1
        return call()

    def capture(self, call: Call) -> Captured:
        self.captures += 1
        tensors = [leaf for leaf in tree_leaves(self.state()) if isinstance(leaf, Tensor)]
        before = [tensor.detach().clone() for tensor in tensors]
        metrics = {name: value.clone() for name, value in call().items()}
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)

        rates = self._rates()

        def replay() -> None:
            self.replays += 1
            meanwhile = self._rates()
            self._set(rates)  # a graph keeps the numbers of its capture
            for name, value in call().items():
                metrics[name].copy_(value)
            self._set(meanwhile)

        return Captured(replay, metrics)

    def _rates(self) -> list[float]:
        return [group["lr"] for optimizer in self.numbers for group in optimizer.param_groups]

    def _set(self, rates: Sequence[float]) -> None:
        groups = [group for optimizer in self.numbers for group in optimizer.param_groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate


def darts() -> SearchSpace:
    return DartsSpace(data=SPEC, channels=4, cells=3, nodes=1, operations=OPERATIONS)


def nasbench201() -> SearchSpace:
    return NasBench201Space(data=SPEC, channels=4, cells=1)


def search(
    space: SearchSpace,
    *,
    device: torch.device = CPU,
    fused: bool = True,
    k: int = 2,
    relaxation: Relaxation | None = None,
    policy: nn.Module | None = None,
    **settings: Any,
) -> Bilevel:
    """A step of PC-DARTS on a small supernet."""
    torch.manual_seed(0)
    net = space.supernet()
    if k > 1:
        apply_partial_channels(net, k)
    set_execution(net, portable_kernels() if fused else None)
    supernet = Supernet(net)
    chosen = policy or FreeLogits(supernet.decisions, relaxation or Softmax(), seed=1)
    supernet, chosen = supernet.to(device), chosen.to(device)
    logits = list(chosen.parameters()) or [nn.Parameter(torch.zeros(1))]
    given = {"objective": Objective(Classification()), "warmup": 0.0, **settings}
    return Bilevel(
        supernet=supernet,
        policy=chosen,  # type: ignore[arg-type]
        weights_optimizer=torch.optim.SGD(
            supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3
        ),
        architecture_optimizer=torch.optim.Adam(logits, lr=0.01, betas=(0.5, 0.999)),
        **given,
    )


def retraining(device: torch.device = CPU) -> Supervised:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4))
    net = net.to(device)
    return Supervised(
        net, Classification(), torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    )


def batch(seed: int, device: torch.device = CPU, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 3, 8, 8, generator=generator)
    return Batch(inputs.to(device), torch.randint(4, (n,), generator=generator).to(device))


def capturable(update: Any) -> Any:
    for optimizer in update.optimizers():
        make_capturable(optimizer)
    return update


def recorder(update: Any) -> Recorder:
    return Recorder(update.state_dict, update.optimizers())


def tensors(tree: Any) -> list[Tensor]:
    return [leaf.detach().clone() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def equal(one: Any, other: Any) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def run(
    update: Update, inner: Any, schedules: Sequence[Any], epochs: int, steps: int
) -> list[list[float]]:
    """Metrics of every step of every phase, as the loop runs them: read when all are done."""
    schedules = [CosineLearningRate(inner.optimizers()[0], epochs), *schedules]
    found: list[Mapping[str, Tensor]] = []
    epoch = 0
    for phase in update.phases(epochs):
        for _ in range(phase.epochs):
            for schedule in schedules:
                schedule.on_epoch(epoch)
            for step in range(steps):
                seed = 100 * epoch + 10 * step
                found.append(phase.step(*(batch(seed + i) for i in range(len(phase.streams)))))
            epoch += 1
    return [[float(value) for value in metrics.values()] for metrics in found]


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (darts, {"warmup": 0.5}),
        (darts, {"fused": False, "k": 1}),
        (nasbench201, {}),
        (nasbench201, {"autocast": autocast_of(CPU, "bf16"), "fused": False}),
    ],
    ids=["pc_darts", "darts, plain", "nasbench201", "bf16"],
)
def test_captured_steps_give_the_bits_of_eager_ones(
    space: Callable[[], SearchSpace], settings: dict[str, Any]
) -> None:
    eager, inner = capturable(search(space(), **settings)), search(space(), **settings)
    backend = recorder(inner)
    graphed = Graphed(inner, backend)
    wanted = run(eager, eager, [], 2, WARM + 2)
    assert run(graphed, inner, [graphed], 2, WARM + 2) == wanted
    assert equal(graphed.state_dict(), eager.state_dict())
    phases = len(inner.phases(2))
    warm = 2 * WARM if phases == 2 else WARM + AGAIN
    assert (backend.eager_steps, backend.captures) == (warm, 2)
    assert backend.replays == 2 * (WARM + 2) - warm


def test_captured_retraining_gives_the_bits_of_an_eager_one() -> None:
    eager, inner = capturable(retraining()), retraining()
    graphed = Graphed(inner, recorder(inner))
    wanted = run(eager, eager, [], 2, WARM + 2)
    assert run(graphed, inner, [graphed], 2, WARM + 2) == wanted
    assert equal(graphed.state_dict(), eager.state_dict())


def test_without_being_told_of_the_epoch_a_graph_keeps_its_numbers() -> None:
    """The test above would see a rate that does not reach the optimizer."""
    eager, inner = capturable(retraining()), retraining()
    graphed = Graphed(inner, recorder(inner))
    assert run(graphed, inner, [], 2, WARM + 2) != run(eager, eager, [], 2, WARM + 2)


def test_replays_read_the_tensors_of_the_capture_and_leave_earlier_metrics_alone() -> None:
    seen: list[list[int]] = []

    def step(one: Batch, other: Batch) -> Metrics:
        seen.append([leaf.data_ptr() for leaf in (*one, *other)])
        return {"sum": one.inputs.sum() + other.inputs.sum()}

    graphed = GraphedStep(step, Recorder())
    given = [(batch(2 * i), batch(2 * i + 1)) for i in range(WARM + 4)]
    found = [graphed(*pair)["sum"] for pair in given]
    assert [float(x) for x in found] == [float(a.inputs.sum() + b.inputs.sum()) for a, b in given]
    captured = seen[WARM:]
    assert len({tuple(places) for places in captured}) == 1
    assert not {*captured[0]} & {leaf.data_ptr() for pair in given for b in pair for leaf in b}


def test_what_does_not_fit_the_graph_runs_as_it_is() -> None:
    backend = Recorder()
    graphed = GraphedStep(lambda b: {"n": b.inputs.sum() * 0 + len(b.inputs)}, backend)
    for _ in range(WARM + 1):
        graphed(batch(0))
    assert float(graphed(batch(0, n=3))["n"]) == 3
    assert float(graphed(Batch(batch(0).inputs.double(), batch(0).targets))["n"]) == 4
    assert float(graphed(batch(0))["n"]) == 4
    assert (backend.eager_steps, backend.captures, backend.replays) == (WARM + 2, 1, 2)


class Refusing(Recorder):
    """A device on which the step reads a value."""

    def capture(self, call: Call) -> Captured:
        self.captures += 1
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_a_step_that_cannot_be_captured_runs_as_it_is_and_says_so_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    eager, inner = capturable(retraining()), retraining()
    backend = Refusing()
    graphed = Graphed(inner, backend)
    assert run(graphed, inner, [graphed], 2, 6) == run(eager, eager, [], 2, 6)
    assert (backend.eager_steps, backend.captures) == (12, 1)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("could not be captured as a CUDA graph, so it runs without: operation") == 1
    with pytest.raises(
        NasError, match=r"cannot be captured: operation not .*; use cuda_graph=auto"
    ):
        run(Graphed(retraining(), Refusing(), must=True), inner, [], 1, WARM + 1)


def test_a_batch_with_more_than_tensors_is_not_captured(capsys: pytest.CaptureFixture[str]) -> None:
    backend = Recorder()
    graphed = GraphedStep(lambda b: {"n": b.inputs.sum()}, backend)
    for _ in range(WARM + 2):
        graphed(Batch(batch(0).inputs, "a name"))
    assert (backend.eager_steps, backend.captures) == (WARM + 2, 0)
    assert "more than tensors" in " ".join(capsys.readouterr().err.split())


def test_a_graph_is_dropped_when_state_is_loaded_and_goes_on_bit_for_bit() -> None:
    inner = search(nasbench201())
    graphed = Graphed(inner, recorder(inner))
    (phase,) = graphed.phases(1)
    for seed in range(WARM + 2):
        phase.step(batch(seed), batch(seed + 50))
    state = copy.deepcopy(graphed.state_dict())
    other = search(nasbench201())
    second = Graphed(other, recorder(other))
    (again,) = second.phases(1)
    second.load_state_dict(copy.deepcopy(state))  # optimizers take the tensors themselves
    for step in (phase.step, again.step):
        step(batch(90), batch(91))
    assert equal(graphed.state_dict(), second.state_dict())
    graphed.load_state_dict(state)
    assert isinstance(graphed.backend, Recorder)
    before = graphed.backend.eager_steps
    phase.step(batch(90), batch(91))
    assert graphed.backend.eager_steps == before + 1
    assert equal(graphed.state_dict(), second.state_dict())


def test_a_state_counted_on_the_device_is_loaded_by_an_optimizer_that_counts_on_the_host() -> None:
    one, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    first, second = torch.optim.Adam([one]), torch.optim.Adam([other])
    one.grad = other.grad = torch.ones(2)
    first.step()
    make_capturable(first)
    first.step()
    load_optimizer(second, first.state_dict())
    assert not second.param_groups[0]["capturable"]
    make_capturable(second)
    assert second.param_groups[0]["capturable"]
    assert float(second.state[other]["step"]) == 2


@pytest.mark.parametrize(
    ("space", "fused"),
    [(darts, True), (darts, False), (nasbench201, True)],
    ids=["darts, fused", "darts, plain", "nasbench201, fused"],
)
def test_a_search_step_leaves_the_host_alone(space: Callable[[], SearchSpace], fused: bool) -> None:
    update = capturable(search(space(), device=META, fused=fused, architecture_clip=1.0))
    batches = batch(0, META), batch(1, META)
    update.step(*batches)  # makes what the optimizers keep
    with Alone():
        update.architecture_step(*batches)
        update.weights_step(batches[0])
    assert update.obstacle() is None


def test_a_retraining_step_leaves_the_host_alone() -> None:
    update = capturable(retraining(META))
    given = batch(0, META)
    update.step(given)
    with Alone():
        update.step(given)
    assert update.obstacle() is None


def test_a_network_that_drops_paths_leaves_the_host_alone() -> None:
    space = DartsSpace(data=SPEC, network_channels=4, network_cells=3, nodes=2)
    net = space.network(sample(space, torch.Generator().manual_seed(0)))
    set_execution(net, portable_kernels())
    assert isinstance(net, Droppable)
    net.set_drop_path(0.2)
    optimizer = torch.optim.SGD(net.to(META).parameters(), lr=0.1, momentum=0.9)
    update, given = Supervised(net, Classification(), optimizer), batch(0, META)
    update.step(given)
    with Alone():
        update.step(given)


def masked() -> Bilevel:
    update = search(nasbench201(), device=META)
    name = next(iter(update.policy.decisions))
    update.policy.set_mask(name, [True, False, True, True, True])
    return update


def with_budget() -> Bilevel:
    space = nasbench201()
    cost = Macs(blueprint(space), input_shape=SPEC.input_shape)
    objective = Objective(Classification(), [Penalty(cost, 1.0)])
    return search(space, device=META, k=1, objective=objective)


OBSTACLES: dict[str, tuple[Callable[[], Bilevel], str]] = {
    "masked": (masked, "some candidates are masked"),
    "budget": (with_budget, "the costs of a budget are read from the host"),
    "noise": (
        lambda: search(nasbench201(), device=META, relaxation=Gumbel(hard=False)),
        "FreeLogits draws or chooses on the host",
    ),
    "sampled": (
        lambda: search(nasbench201(), device=META, relaxation=Gumbel()),
        "FreeLogits draws or chooses on the host",
    ),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_meets_the_host_is_an_obstacle(name: str) -> None:
    made, reason = OBSTACLES[name]
    update = capturable(made())
    assert update.obstacle() == reason
    batches = batch(0, META), batch(1, META)
    with pytest.raises(RuntimeError), Alone():
        update.architecture_step(*batches)


class Subclass(Bilevel):
    """A user's rule, of which nothing is known."""


def test_other_obstacles_and_what_is_said_of_them() -> None:
    second = search(nasbench201(), order=2)
    assert "second-order" in str(second.obstacle())
    uniform = search(nasbench201(), policy=Uniform(nasbench201_decisions()))
    assert uniform.obstacle() == "Uniform draws or chooses on the host"
    user = search(nasbench201())
    user.__class__ = Subclass
    assert user.obstacle() == "Subclass does not say that its steps can be captured"
    plain = retraining()
    plain.optimizer = torch.optim.Adagrad(plain.network.parameters())
    assert plain.obstacle() == "Adagrad keeps a part of its state on the host"


def nasbench201_decisions() -> Any:
    return Supernet(nasbench201().supernet()).decisions


def test_a_mask_that_comes_later_ends_the_captures_of_its_epochs() -> None:
    inner = search(nasbench201())
    backend = recorder(inner)
    graphed = Graphed(inner, backend)
    (phase,) = graphed.phases(3)
    name = next(iter(inner.policy.decisions))
    for epoch, mask in enumerate([True, False, True]):
        inner.policy.set_mask(name, [True, mask, True, True, True])
        graphed.on_epoch(epoch)
        for seed in range(WARM + 2):
            phase.step(batch(seed), batch(seed + 50))
    assert (backend.captures, backend.eager_steps) == (2, WARM + (WARM + 2) + AGAIN)


@pytest.mark.parametrize(
    ("wanted", "device", "found"),
    [("auto", CPU, False), ("auto", CUDA, True), (True, CUDA, True), (False, CUDA, False)],
)
def test_auto_means_on_a_gpu(wanted: str | bool, device: torch.device, found: bool) -> None:
    assert resolve_graph(wanted, device) is found


def test_a_graph_without_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda_graph=true needs a GPU, got device=cpu; use cuda_"):
        resolve_graph(True, CPU)


def test_who_is_captured_and_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "CudaGraphs", lambda device: Recorder())
    update = retraining()
    graphed, why = graphed_or_why(update, "auto", CUDA)
    assert isinstance(graphed, Graphed)
    assert (graphed.must, why) == (False, "")
    graphed, _ = graphed_or_why(update, True, CUDA)
    assert graphed is not None
    assert graphed.must
    assert graphed_or_why(update, "auto", CPU) == (None, "")
    assert graphed_or_why(update, True, CPU) == (None, "")  # to look at a run from a GPU
    assert graphed_or_why(update, False, CUDA) == (None, "")
    assert "compile=true" in graphed_or_why(update, "auto", CUDA, compiled=True)[1]
    second = search(nasbench201(), order=2)
    assert "second-order" in graphed_or_why(second, "auto", CUDA)[1]
    with pytest.raises(
        ConfigError, match=r"cuda_graph=true, but a second-order .*; use cuda_graph"
    ):
        graphed_or_why(second, True, CUDA)
