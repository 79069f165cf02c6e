"""Every kernel against the same formula in plain PyTorch operations and their autograd."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.kernels import Normalization, Term
from nas.kernels.native import available, avg_pool, build, max_pool, mixture, separable

EPSILON = 1e-5
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}
DTYPES = (torch.float64, torch.float32)


@pytest.fixture(scope="session")
def kernels() -> None:
    """Compiles them for the first test that needs them."""
    if not all(map(available, DTYPES)):
        pytest.skip("the native kernels cannot be compiled here")


built = pytest.mark.usefixtures("kernels")


def close(found: Tensor, expected: Tensor) -> None:
    """Assert that no entry is off by more than a share of the largest."""
    assert found.shape == expected.shape
    worst = (found.double() - expected.double()).abs().max().item()
    assert worst <= TOLERANCE[found.dtype] * max(expected.abs().max().item(), 1e-3)


def moments_of(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return mean, variance


def normalized(x: Tensor, mean: Tensor | None, rstd: Tensor | None) -> Tensor:
    if mean is None or rstd is None:
        return x
    return (x - mean.view(-1, 1, 1)) * rstd.view(-1, 1, 1)


def statistics(x: Tensor, through: bool) -> tuple[Tensor, Tensor]:
    """The moments that a kernel is handed: of ``x``, or constants near them."""
    mean, variance = moments_of(x)
    if not through:
        mean, variance = mean.detach() + 0.1, variance.detach() * 1.3
    return mean, (variance + EPSILON).rsqrt()


def draw(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, dtype=dtype).add_(0.3)


class Case(NamedTuple):
    size: tuple[int, int] = (7, 9)
    batch: int = 3
    channels: int = 5
    edges: int = 3
    shared: bool = True
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    norm: str = "through"


CASES = [
    Case(),
    Case(norm="none"),
    Case(norm="constant"),
    Case(shared=False, kernel=5),
    Case(shared=False, norm="none", stride=2),
    Case(shared=False, norm="constant", size=(8, 8), channels=4, kernel=7),
    Case(kernel=5, dilation=2, size=(11, 5), batch=1),
    Case(kernel=3, dilation=2, stride=2, size=(9, 10)),
    Case(kernel=5, dilation=2, stride=2, size=(16, 16), shared=False),
    Case(kernel=7, stride=2, size=(13, 8), channels=1, edges=1),
    Case(kernel=1, channels=3, edges=2),
    Case(kernel=1, stride=2, size=(16, 16)),
    Case(size=(32, 32), channels=4, batch=2, edges=2),
    Case(size=(16, 16), channels=8, batch=2, edges=2, kernel=5, shared=False),
    Case(size=(8, 8), channels=16, batch=2, edges=2, kernel=3, dilation=2),
    Case(size=(32, 32), channels=6, batch=1, edges=1, kernel=5, stride=2),
    Case(size=(6, 3), kernel=3, stride=2),
    Case(size=(1, 1), norm="constant"),
    Case(size=(3, 40), channels=2),
]
# Planes for which the lanes of a vector are images: every width, kernel, stride and dilation.
SMALL = [
    Case(
        size=((8, 4, 2, 3, 1)[i % 5], width),
        batch=(9, 4, 17, 1, 8)[i % 5],
        channels=(5, 8, 1)[i % 3],
        edges=(2, 1)[i % 2],
        shared=i % 4 < 2,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        norm=("through", "none", "constant")[i % 3],
    )
    for i, (width, kernel, stride, dilation) in enumerate(
        itertools.product((2, 4, 8), (3, 5), (1, 2), (1, 2))
    )
]


def padding_of(case: Case) -> int:
    return case.dilation * (case.kernel // 2)


def separable_inputs(case: Case, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    inputs = case.channels * (1 if case.shared else case.edges)
    outputs = case.channels * case.edges
    x = draw(case.batch, inputs, *case.size, dtype=dtype)
    depthwise = draw(outputs, 1, case.kernel, case.kernel, dtype=dtype) / case.kernel
    pointwise = draw(outputs, case.channels, 1, 1, dtype=dtype) / case.channels**0.5
    return x, depthwise, pointwise


def plain_separable(x: Tensor, depthwise: Tensor, pointwise: Tensor, case: Case) -> Tensor:
    mean, rstd = (None, None) if case.norm == "none" else statistics(x, case.norm == "through")
    a = F.relu(normalized(x, mean, rstd))
    if case.shared:
        a = a.repeat(1, case.edges, 1, 1)
    padding = padding_of(case)
    d = F.conv2d(a, depthwise, None, case.stride, padding, case.dilation, groups=len(depthwise))
    return F.conv2d(d, pointwise, groups=case.edges)


def native_separable(
    x: Tensor, depthwise: Tensor, pointwise: Tensor, case: Case
) -> tuple[Tensor, Tensor, Tensor]:
    through = case.norm == "through"
    norm = None
    if case.norm != "none":
        norm = Normalization(*statistics(x.detach(), through), through)
    sizes = {"stride": case.stride, "dilation": case.dilation}
    return separable(x, norm, depthwise, pointwise, **sizes, edges=case.edges)


def leaves(tensors: Sequence[Tensor], wanted: Sequence[bool] = ()) -> list[Tensor]:
    flags = wanted or [True] * len(tensors)
    return [t.detach().clone().requires_grad_(flag) for t, flag in zip(tensors, flags, strict=True)]


@built
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [*CASES, *SMALL], ids=str)
def test_separable(case: Case, dtype: torch.dtype) -> None:
    inputs = separable_inputs(case, torch.float64)
    theirs = leaves(inputs)
    expected = plain_separable(*theirs, case)
    gy = torch.randn_like(expected)
    expected.backward(gy)

    ours = leaves([t.to(dtype) for t in inputs])
    y, mean, variance = native_separable(*ours, case)
    y.backward(gy.to(dtype))
    close(y, expected)
    for found, wanted in zip((mean, variance), moments_of(expected), strict=True):
        close(found, wanted)
        assert not found.requires_grad
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        close(a.grad, b.grad)


@built
@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1)])
@pytest.mark.parametrize(
    "case", [Case(), Case(shared=False, stride=2), Case(size=(4, 4), shared=False)], ids=str
)
def test_separable_computes_the_gradients_that_are_needed(
    case: Case, wanted: tuple[int, ...]
) -> None:
    inputs = separable_inputs(case, torch.float64)
    every, some = leaves(inputs), leaves(inputs, [bool(flag) for flag in wanted])
    for tensors in (every, some):
        native_separable(*tensors, case)[0].square().sum().backward()
    for all_, one, flag in zip(every, some, wanted, strict=True):
        assert (one.grad is not None) == bool(flag)
        if one.grad is not None:
            assert one.grad.equal(all_.grad)


@built
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("case", [Case(size=(16, 16), batch=7), Case(size=(8, 8), batch=20)])
def test_the_same_bits_twice(threads: int, case: Case) -> None:
    inputs = separable_inputs(case, torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = []
        for _ in range(2):
            tensors = leaves(inputs)
            y, mean, variance = native_separable(*tensors, case)
            pooled = max_pool(y, 1)
            norm = Normalization(*pooled[1:], through=True)
            term = Term(pooled[0], norm, edges=(0, 1, 2), shared=False)
            weights = torch.ones(3, 1, requires_grad=True)
            sum(out.square().sum() for out in mixture([term], weights)).backward()
            results.append([y, mean, variance, *pooled, weights.grad, *(t.grad for t in tensors)])
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*results, strict=True))


@built
@pytest.mark.parametrize("size", [(8, 8), (16, 9)], ids=str)
def test_nan_is_not_hidden(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    x[0, 1, 3, 4] = float("nan")
    weights = torch.randn(4, 1, 3, 3), torch.randn(4, 4, 1, 1)
    y, mean, _ = separable(x, None, *weights, stride=1, dilation=1, edges=1)
    assert y.isnan().sum() == 4 * 9
    assert mean.isnan().all()
    (out,) = mixture([Term(x, None, (0,), True)], torch.ones(1, 1))
    assert out.isnan().equal(x.isnan())
    for pool, plain in ((max_pool, plain_max), (avg_pool, plain_average)):
        assert pool(x, 1)[0].isnan().equal(plain(x, 1).isnan())


def plain_max(x: Tensor, stride: int) -> Tensor:
    return F.max_pool2d(x, 3, stride, 1)


def plain_average(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


Pool = Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]]


@built
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9), (8, 8), (32, 17)], ids=str)
@pytest.mark.parametrize("pools", [(max_pool, plain_max), (avg_pool, plain_average)])
def test_pooling(
    pools: tuple[Pool, Callable[[Tensor, int], Tensor]],
    size: tuple[int, int],
    stride: int,
    dtype: torch.dtype,
) -> None:
    native, plain = pools
    values = draw(3, 4, *size, dtype=dtype).relu()  # many are equal: the first must be chosen
    theirs, ours = leaves([values]) + leaves([values])
    expected = plain(theirs, stride)
    y, mean, variance = native(ours, stride)
    gy = torch.randn_like(expected)
    expected.backward(gy)
    y.backward(gy)
    if native is max_pool:
        assert y.equal(expected)
    pairs = [(y, expected), *zip((mean, variance), moments_of(expected), strict=True)]
    assert ours.grad is not None
    assert theirs.grad is not None
    for found, wanted in [*pairs, (ours.grad, theirs.grad)]:
        close(found, wanted)


class Kind(NamedTuple):
    edges: tuple[int, ...]
    shared: bool
    norm: str


KINDS = [
    Kind((0, 1, 2), False, "through"),
    Kind((0, 1, 2), True, "through"),
    Kind((2, 0), False, "constant"),
    Kind((1,), False, "through"),
    Kind((0, 2), True, "none"),
    Kind((1, 2), True, "constant"),
    Kind((1, 2), True, "constant per edge"),
]


def term_of(kind: Kind, z: Tensor, source: Tensor) -> Term:
    """A term of ``z`` with the moments of ``source`` (``z`` with its graph, or without)."""
    if kind.norm == "none":
        return Term(z, None, kind.edges, kind.shared)
    mean, rstd = statistics(source, kind.norm == "through")
    if kind.norm == "constant per edge":
        mean, rstd = torch.cat([mean, mean + 1]), torch.cat([rstd, rstd * 2])
    norm = Normalization(mean, rstd, kind.norm == "through")
    return Term(z, norm, kind.edges, kind.shared)


def plain_mixture(terms: Sequence[Term], weights: Tensor, channels: int) -> list[Tensor]:
    outputs: list[Tensor] = []
    for e in range(len(weights)):
        out = torch.zeros_like(terms[0].z[:, :channels])
        for t, term in enumerate(terms):
            if e not in term.edges:
                continue
            at = term.edges.index(e) * channels
            own = slice(at, at + channels)
            z = term.z if term.shared else term.z[:, own]
            moments = [m if m is None or m.numel() == channels else m[own] for m in term.moments()]
            out = out + weights[e, t] * normalized(z, *moments)
        outputs.append(out)
    return outputs


@built
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 8)], ids=str)
@pytest.mark.parametrize("used", [(0, 1, 2), (1,)], ids=str)
def test_mixture(used: tuple[int, ...], size: tuple[int, int], dtype: torch.dtype) -> None:
    batch, channels, edges = 3, 4, 3
    values = [
        draw(batch, channels * (1 if k.shared else len(k.edges)), *size, dtype=torch.float64)
        for k in KINDS
    ]
    inputs = [*values, draw(edges, len(KINDS), dtype=torch.float64)]
    gradients = [draw(batch, channels, *size, dtype=torch.float64) for _ in used]

    theirs = leaves(inputs)
    terms = [term_of(k, z, z) for k, z in zip(KINDS, theirs, strict=False)]
    expected = plain_mixture(terms, theirs[-1], channels)
    torch.autograd.backward([expected[e] for e in used], gradients)

    ours = leaves([t.to(dtype) for t in inputs])
    terms = [term_of(k, z, z.detach()) for k, z in zip(KINDS, ours, strict=False)]
    outputs = mixture(terms, ours[-1])
    torch.autograd.backward([outputs[e] for e in used], [g.to(dtype) for g in gradients])
    for found, wanted in zip(outputs, expected, strict=True):
        close(found, wanted)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        close(a.grad, torch.zeros_like(b) if b.grad is None else b.grad)


@built
def test_mixture_of_far_off_values_loses_nothing() -> None:
    z = torch.randn(4, 2, 8, 8, dtype=torch.float64) + 1e4
    g = torch.randn_like(z)
    found = []
    for dtype in DTYPES:
        (tensor,) = leaves([z.to(dtype)])
        weights = torch.ones(1, 1, dtype=dtype, requires_grad=True)
        mean, rstd = statistics(z.to(torch.float32).double(), through=True)
        term = Term(tensor, Normalization(mean.to(dtype), rstd.to(dtype), True), (0,), True)
        mixture([term], weights)[0].backward(g.to(dtype))
        assert weights.grad is not None
        found.append((tensor.grad, weights.grad))
    for exact, rounded in zip(*found, strict=True):
        assert torch.allclose(rounded.double(), exact, rtol=2e-3, atol=2e-3)


@built
@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_mixture_computes_the_gradients_that_are_needed(needs: tuple[bool, bool]) -> None:
    values = [draw(2, 8, 4, 4, dtype=torch.float64), draw(2, 1, dtype=torch.float64)]
    found = []
    for wanted in ((True, True), needs):
        z, weights = leaves(values, wanted)
        norm = Normalization(*statistics(z.detach(), True), True)
        term = Term(z, norm, (0, 1), False)
        sum(out.square().sum() for out in mixture([term], weights)).backward()
        found.append((z.grad, weights.grad))
    for every, some, flag in zip(*found, needs, strict=True):
        assert some.equal(every) if flag else some is None


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A process that has not built yet, with an empty cache folder."""
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("NAS_NATIVE", raising=False)
    build._library.cache_clear()
    yield tmp_path / "kernels"
    build._library.cache_clear()


def test_no_compiler_is_one_line(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(fresh))
    assert not available()
    assert not available()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("no native kernels") == 1
    assert "no C++ compiler" in captured.err


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/no/such/compiler", "No such file"),
        ("false", "non-zero exit status"),
        ("echo", "No such file"),  # says it is fine and leaves nothing
        ("sh -c 'test $1 = --version || { echo an error in line 7 >&2; exit 1; }' -", "in line 7"),
    ],
)
def test_a_broken_compiler_is_one_line(
    fresh: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compiler: str,
    reason: str,
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert not available()
    assert not available()
    captured = capsys.readouterr()
    assert captured.err.count("no native kernels") == 1
    assert reason in captured.err.replace("\n", " ")
    assert not fresh.is_dir() or not list(fresh.iterdir())


@built
def test_builders_that_start_together_do_not_disturb_each_other(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "answer.cpp").write_text('extern "C" int answer() { return 42; }')
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    with ThreadPoolExecutor(4) as pool:
        paths = [job.result() for job in [pool.submit(build._compiled, "float") for _ in range(4)]]
    assert len(set(paths)) == 1
    assert list(fresh.iterdir()) == paths[:1]
    assert ctypes.CDLL(str(paths[0])).answer() == 42


def test_it_can_be_switched_off(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAS_NATIVE", "0")
    assert not available()
    assert not any(capsys.readouterr())
    assert not fresh.exists()
