"""A second implementation, functional and from the specification alone, against the first.

It reads nothing but the ``state_dict`` and the logits, in the order that docs/spaces/darts.md
states: cells, nodes, edges and operations by number, logits as rows of the policy's stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.dataspec import DataSpec
from nas.policies import FreeLogits
from nas.relaxations import Softmax
from nas.searchable import apply_partial_channels
from nas.supernet import Supernet
from search_spaces.darts import Cells, DartsSpace

Params = Mapping[str, Tensor]
OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
OFFSETS = {2: 0, 3: 2, 4: 5, 5: 9}  # first edge of each node in the list of 14

# Operations. `at` is the place of a module in the state dict.


def norm(p: Params, at: str, x: Tensor) -> Tensor:
    axes = [0, 2, 3]
    mean, var = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
    x = (x - mean) / torch.sqrt(var + 1e-5)
    if f"{at}.weight" in p:
        x = x * p[f"{at}.weight"].view(1, -1, 1, 1) + p[f"{at}.bias"].view(1, -1, 1, 1)
    return x


def conv(p: Params, at: str, x: Tensor, stride: int = 1, padding: int = 0, **more: int) -> Tensor:
    return F.conv2d(x, p[f"{at}.weight"], None, stride, padding, **more)


def relu_conv_bn(p: Params, at: str, x: Tensor) -> Tensor:
    return norm(p, f"{at}.norm", conv(p, f"{at}.conv", x.clamp(min=0)))


def factorized_reduce(p: Params, at: str, x: Tensor) -> Tensor:
    x = x.clamp(min=0)
    bottom, right = x.shape[2] % 2, x.shape[3] % 2  # odd sizes: one zero at the end of the shifted
    shifted = F.pad(x[:, :, 1:, 1:], (0, right, 0, bottom))
    halves = [conv(p, f"{at}.conv1", x, 2), conv(p, f"{at}.conv2", shifted, 2)]
    return norm(p, f"{at}.norm", torch.cat(halves, 1))


def separable(p: Params, at: str, x: Tensor, k: int, stride: int) -> Tensor:
    for number, s in ((1, stride), (2, 1)):
        x = x.clamp(min=0)
        x = conv(p, f"{at}.depthwise{number}", x, s, k // 2, groups=x.shape[1])
        x = norm(p, f"{at}.norm{number}", conv(p, f"{at}.pointwise{number}", x))
    return x


def dilated(p: Params, at: str, x: Tensor, k: int, stride: int) -> Tensor:
    x = x.clamp(min=0)
    x = conv(p, f"{at}.depthwise", x, stride, k - 1, dilation=2, groups=x.shape[1])
    return norm(p, f"{at}.norm", conv(p, f"{at}.pointwise", x))


def average(x: Tensor, stride: int) -> Tensor:
    def sums(y: Tensor) -> Tensor:
        return F.avg_pool2d(y, 3, stride, 1, divisor_override=1)

    return sums(x) / sums(torch.ones_like(x))


def long_convolutions(p: Params, at: str, x: Tensor, k: int, stride: int) -> Tensor:
    x = F.conv2d(x.clamp(min=0), p[f"{at}.row.weight"], None, (1, stride), (0, k // 2))
    x = F.conv2d(x, p[f"{at}.column.weight"], None, (stride, 1), (k // 2, 0))
    return norm(p, f"{at}.norm", x)


def apply(p: Params, at: str, name: str, x: Tensor, stride: int, searched: bool) -> Tensor:
    """One operation; only in a supernet does a normalization follow a pooling."""
    if name == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if name == "skip_connect":
        return x if stride == 1 else factorized_reduce(p, at, x)
    if "pool" in name:
        y = F.max_pool2d(x, 3, stride, 1) if "max" in name else average(x, stride)
        return norm(p, f"{at}.norm", y) if searched else y
    if name in ("conv_7x1_1x7", "conv_3x1_1x3"):
        return long_convolutions(p, at, x, int(name[5]), stride)
    k = int(name[-1])
    return (separable if "sep" in name else dilated)(p, at, x, k, stride)


# Networks.

Run = Callable[[str, list[Tensor], bool], Tensor]  # place, inputs, reduction -> output of a cell


def macro(p: Params, x: Tensor, cells: int, run: Run) -> tuple[Tensor, Tensor]:
    """Logits, and the features after the second reduction."""
    before = previous = norm(p, "stem.norm", conv(p, "stem.conv", x, 1, 1))
    after_reduction, features = False, x
    for index in range(cells):
        at, reduction = f"cells.{index}", index in (cells // 3, 2 * cells // 3)
        enter = factorized_reduce if after_reduction else relu_conv_bn
        states = [
            enter(p, f"{at}.preprocess0", before),
            relu_conv_bn(p, f"{at}.preprocess1", previous),
        ]
        before, previous = previous, run(at, states, reduction)
        if index == 2 * cells // 3:
            features = previous
        after_reduction = reduction
    pooled = previous.mean((2, 3))
    return pooled @ p["classifier.weight"].T + p["classifier.bias"], features


def supernet_reference(
    p: Params, x: Tensor, cells: int, alphas: list[Tensor], betas: list[Tensor] | None, k: int
) -> Tensor:
    """Logits for ``alphas`` (14, 8) and ``betas`` (14,) of both kinds; k = 1 is DARTS."""

    def edge(at: str, weights: Tensor, x: Tensor, stride: int) -> Tensor:
        channels = x.shape[1] // k
        at = f"{at}.inner" if k > 1 else at
        y = sum(
            weights[o] * apply(p, f"{at}.ops.{name}", name, x[:, :channels], stride, True)
            for o, name in enumerate(OPERATIONS)
        )
        assert isinstance(y, Tensor)
        if k == 1:
            return y
        rest = x[:, channels:]
        if stride == 2:
            bottom, right = rest.shape[2] % 2, rest.shape[3] % 2
            rest = F.max_pool2d(F.pad(rest, (0, right, 0, bottom), value=-torch.inf), 2)
        # The index map: channel j is y[j / k] where k divides j, else one of the rest.
        out = []
        for j in range(x.shape[1]):
            place = (j % k - 1) * channels + j // k
            out.append(y[:, j // k] if j % k == 0 else rest[:, place])
        return torch.stack(out, 1)

    def run(at: str, states: list[Tensor], reduction: bool) -> Tensor:
        weights = alphas[reduction].softmax(-1)
        for node in (2, 3, 4, 5):
            first = OFFSETS[node]
            share = torch.ones(node, dtype=x.dtype)
            if betas is not None:
                share = betas[reduction][first : first + node].softmax(0)
            value = sum(
                share[i]
                * edge(
                    f"{at}.nodes.{node - 2}.edges.{i}",
                    weights[first + i],
                    states[i],
                    2 if reduction and i < 2 else 1,
                )
                for i in range(node)
            )
            assert isinstance(value, Tensor)
            states.append(value)
        return torch.cat(states[2:], 1)

    return macro(p, x, cells, run)[0]


def network_reference(p: Params, x: Tensor, cells: int, plans: Cells) -> tuple[Tensor, Tensor]:
    """Logits of the network and of its auxiliary head."""

    def run(at: str, states: list[Tensor], reduction: bool) -> Tensor:
        plan = plans.reduce if reduction else plans.normal
        for node, edges in enumerate(plan.nodes):
            value = torch.zeros(())
            for number, (name, source) in enumerate(edges):
                stride = 2 if reduction and source < 2 else 1
                place = f"{at}.nodes.{node}.edges.{number}"
                value = value + apply(p, place, name, states[source], stride, False)
            states.append(value)
        return torch.cat([states[i] for i in plan.concat], 1)

    logits, y = macro(p, x, cells, run)
    y = F.avg_pool2d(y.clamp(min=0), 5, 3)
    y = norm(p, "auxiliary.features.norm1", conv(p, "auxiliary.features.conv1", y))
    y = norm(p, "auxiliary.features.norm2", conv(p, "auxiliary.features.conv2", y.clamp(min=0)))
    head = y.clamp(min=0).mean((2, 3))
    return logits, head @ p["auxiliary.classifier.weight"].T + p["auxiliary.classifier.bias"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    picked = logits[torch.arange(len(logits)), targets]
    return (logits.exp().sum(1).log() - picked).mean()


def copies(net: torch.nn.Module) -> dict[str, Tensor]:
    """The parameters as new leaves, under their names in the state dict."""
    names = {name for name, _ in net.named_parameters()}
    state = net.state_dict()
    return {n: t.clone().requires_grad_() for n, t in state.items() if n in names}


def assert_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Equal to 1e-9, entry by entry and relative to the largest entry of each tensor."""
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        scale = max(1.0, float(theirs[name].detach().abs().max()))
        difference = float((value - theirs[name]).detach().abs().max())
        assert value.shape == theirs[name].shape
        assert difference <= 1e-9 * scale, f"{name} differs by {difference}"


# The supernet.


@pytest.mark.parametrize("k", [None, 4], ids=["darts", "pc_darts"])
@pytest.mark.parametrize(
    ("cells", "size"),
    [(4, (8, 8)), (3, (7, 10)), pytest.param(3, (9, 9), marks=pytest.mark.slow)],
)
def test_supernet_forward_loss_and_all_gradients(
    k: int | None, cells: int, size: tuple[int, int]
) -> None:
    space = DartsSpace(DataSpec((3, *size), "classes", 5), channels=8, cells=cells)
    net = space.supernet()
    if k is not None:
        apply_partial_channels(net, k)
    supernet = Supernet(net).double().train()
    wanted = {
        name: decision
        for name, decision in supernet.decisions.items()
        if k is not None or name not in supernet.optional
    }
    policy = FreeLogits(wanted, Softmax(), init_std=1.0).double()
    x, y = torch.randn(3, 3, *size, dtype=torch.float64), torch.tensor([0, 4, 2])

    p = copies(net)
    stacks = {n: s.detach().clone().requires_grad_() for n, s in policy.stacks.items()}
    alphas = [stacks["alpha_8"][:14], stacks["alpha_8"][14:]]
    betas = None
    if k is not None:
        rows = [[stacks[f"alpha_{node}_pick2"][kind] for node in OFFSETS] for kind in (0, 1)]
        betas = [torch.cat(row) for row in rows]
    logits = supernet_reference(p, x, cells, alphas, betas, k or 1)
    loss = cross_entropy(logits, y)
    loss.backward()

    ours = supernet(x, policy().arch)
    our_loss = F.cross_entropy(ours, y)
    our_loss.backward()
    assert_same({"logits": ours, "loss": our_loss}, {"logits": logits, "loss": loss})
    assert_same(
        {n: t.grad for n, t in net.named_parameters() if t.grad is not None},
        {n: t.grad for n, t in p.items() if t.grad is not None},
    )
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in p.values())
    assert_same(
        {n: t.grad for n, t in policy.stacks.items() if t.grad is not None},
        {n: t.grad for n, t in stacks.items() if t.grad is not None},
    )
    assert len(stacks) == (1 if k is None else 5)


# The derived network.


@pytest.mark.parametrize("name", ["DARTS_V2", "PC_DARTS_cifar", "AmoebaNet", "NASNet", "SETN"])
def test_network_forward_loss_and_all_gradients(name: str) -> None:
    space = DartsSpace(DataSpec((3, 32, 32), "classes", 5), network_channels=4, network_cells=5)
    plans = space.named()[name]
    net = space.build(plans).double().train()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:  # scales and shifts start at 1 and 0, where much looks alike
                parameter.normal_()
    x, y = torch.randn(2, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 4])
    p = copies(net)
    logits, head = network_reference(p, x, 5, plans)
    loss = cross_entropy(logits, y) + 0.4 * cross_entropy(head, y)
    loss.backward()

    ours, our_head = net.forward_with_auxiliary(x)
    our_loss = F.cross_entropy(ours, y) + 0.4 * F.cross_entropy(our_head, y)
    our_loss.backward()
    assert_same(
        {"logits": ours, "head": our_head, "loss": our_loss},
        {"logits": logits, "head": head, "loss": loss},
    )
    assert_same(
        {n: t.grad for n, t in net.named_parameters() if t.grad is not None},
        {n: t.grad for n, t in p.items() if t.grad is not None},
    )
    assert torch.equal(net(x), ours)  # the head is for training only
