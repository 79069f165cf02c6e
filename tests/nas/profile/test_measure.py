"""What is prepared for timing: each operation once, real weights, whole networks beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nas.costs.latency_table import Row
from nas.costs.units import units
from nas.dataspec import DataSpec
from nas.errors import ConfigError
from nas.profile.backends import BACKENDS, Compiled, Eager, Onnx, backend_of
from nas.profile.measure import Measured, Plan, materialized, measure, times_of
from nas.profile.timing import Timing
from nas.space import blueprint, sample
from search_spaces.chain import ChainSpace

DATA = DataSpec((1, 8, 8), "classes", 3)


def plan_of(batch: int = 2) -> Plan:
    space = ChainSpace(DATA, channels=2, network_channels=2)
    networks = [space.network(sample(space, torch.Generator().manual_seed(i))) for i in range(2)]
    return Plan(units(blueprint(space), DATA.input_shape), networks, DATA.input_shape, batch)


def silent(total: int, what: str) -> Callable[[], None]:
    return lambda: None


class Watched:
    """A backend that notes what it is given."""

    name, execution = "watched", "plain"

    def __init__(self) -> None:
        self.given: list[tuple[nn.Module, Tensor]] = []

    def prepare(self, module: nn.Module, example: Tensor) -> Callable[[], object]:
        self.given.append((module, example))
        return lambda: None


def test_equal_operations_are_prepared_once_and_run_on_real_weights() -> None:
    plan, backend = plan_of(), Watched()
    times = measure(plan, backend, 3, 0.1, 0, silent)
    assert len(backend.given) == len(plan.pairs) + 2
    assert len(plan.pairs) < sum(len(unit.calls) for unit in plan.found)
    assert set(times.rows) == {unit.key for unit in plan.found}
    assert len(times.networks) == 2
    for module, example in backend.given:
        assert not module.training
        assert len(example) == plan.batch
        assert bool(torch.as_tensor(module(example)).isfinite().all())


def test_calls_of_a_unit_add_up() -> None:
    plan = plan_of()
    rows: dict[Measured, Row] = {pair: Row(1.0, 0.5, 2.0) for pair in plan.pairs}
    rows |= {0: Row(7.0, 7.0, 7.0), 1: Row(8.0, 8.0, 8.0)}
    times = times_of(plan, Timing(rows, 0.0, 3))
    assert times.rows["halve", ""] == Row(2.0, 1.0, 4.0)  # it runs twice, on two sizes
    assert times.rows["stem", ""] == Row(1.0, 0.5, 2.0)
    assert [row.ms for row in times.networks] == [7.0, 8.0]


def test_weights_of_a_copy_follow_from_the_generator_alone() -> None:
    with torch.device("meta"):
        planned = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    before = torch.get_rng_state()
    one, other = (materialized(planned, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert bool(one[1].running_var.eq(1).all())  # type: ignore[index, union-attr]
    assert planned[0].weight.is_meta


def test_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {name: type(backend_of(name, "plain")) for name in BACKENDS}
    assert kinds == {"eager": Eager, "compiled": Compiled, "onnx": Onnx}
    assert backend_of("eager", "fused").execution == "fused"
    with pytest.raises(ConfigError, match="one of eager, compiled, onnx, got 'tpu'"):
        backend_of("tpu", "plain")
    with pytest.raises(ConfigError, match="execution=fused belongs to backend=eager"):
        backend_of("onnx", "fused")
    monkeypatch.setattr("nas.export.onnx.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"backend=onnx needs onnx, .*pip install '.\[export\]'"):
        backend_of("onnx", "plain")


@pytest.mark.slow  # exporting and compiling take a minute
@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_computes_what_the_module_does(name: str) -> None:
    network = plan_of().networks[0].eval()
    x = torch.randn(2, *DATA.input_shape)
    with torch.no_grad():
        run = backend_of(name, "plain").prepare(network, x)
        wanted = network(x)
    with torch.inference_mode():
        found = run()
    found = found[0] if isinstance(found, list) else found
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
