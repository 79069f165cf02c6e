"""An LSTM that draws one decision after the other (ENAS, arXiv 1802.03268)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.arch import Arch
from nas.decision import Decision
from nas.errors import ConfigError
from nas.policies.base import Sample
from nas.policies.stacks import Layout
from nas.policies.uniform import uniform_path
from nas.relaxations import allowed, gumbel

Choose = Callable[[Tensor], Tensor]
"""From log-probabilities (n,) to the index taken, (1,); it never leaves the device."""


@dataclass(frozen=True)
class Turn:
    """One draw: the row of a stack that it is for, and which of the row's draws it is."""

    stack: str
    row: int
    first: bool
    last: bool


@dataclass(frozen=True)
class Draw:
    """A draw as it was made: its log-probabilities (n,), and the index taken, (1,)."""

    turn: Turn
    log_p: Tensor
    index: Tensor


class Controller(nn.Module):
    """Draws every decision given all earlier ones: one step of an LSTM per candidate drawn.

    At draw t of decision d the LSTM's state ``h_t`` follows from ``h_{t-1}`` and the embedding of
    the candidate drawn before. Candidate i is drawn with the probability

        ``softmax_i(c * tanh((W_d h_t + b_d) / T))``

    over the candidates that are allowed (ENAS, arXiv 1802.03268, section 2; NAS, arXiv 1611.01578,
    section 3.1). Decisions come in their order; groups are draws one after the other; ``pick``
    candidates are drawn without replacement. ``log_prob`` is that of the draws in their order, and
    ``entropy`` the sum of the entropies of all draws given those before, whose mean over samples is
    the entropy of the ordered draws. Every decision and group has its own head ``W, b`` and
    embeddings.

    Args:
        decisions: what to draw, in this order.
        hidden: length of the LSTM's state and of the embeddings.
        tanh_constant: c, the largest distance of a score from 0; None leaves scores as they are.
        temperature: T, by which scores are divided first.
        init: all parameters start uniformly in ``(-init, init)``.
        seed: of the initial parameters and of the policy's own CPU generator.
        kept: decisions as a genotype has them; candidates that it never keeps are masked from the
            start, so that what is drawn are paths of the space.

    Raises:
        ConfigError: for no decision at all, and numbers out of range.
    """

    def __init__(
        self,
        decisions: Mapping[str, Decision],
        hidden: int = 64,
        tanh_constant: float | None = 2.5,
        temperature: float = 5.0,
        init: float = 0.1,
        seed: int = 0,
        kept: Mapping[str, Decision] | None = None,
    ) -> None:
        super().__init__()
        if not decisions:
            raise ConfigError("the policy was given no decision; the space has nothing to search")
        _check(hidden, tanh_constant, temperature, init)
        self.decisions = dict(decisions)
        self.tanh_constant, self.temperature = tanh_constant, temperature
        self._layout = Layout(decisions)
        self._turns = tuple(_turns(self._layout))
        self._masks = self._layout.masks()
        self._reset: set[str] = set()
        self.start = nn.Parameter(torch.empty(1, hidden))
        # Its own way to start would draw from the global generator.
        self.cell: nn.LSTMCell = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.LSTMCell, hidden, hidden
        )
        self.embeddings, self.heads = self._stacks(hidden), self._stacks(hidden)
        self.biases = self._stacks()
        self._generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init, init, self._generator)
        for name, decision in (kept or {}).items():
            if name in self.decisions:
                known = self.decisions[name].candidates
                self.set_mask(name, [candidate in decision.candidates for candidate in known])
        self._reset.clear()  # no optimizer has seen any of them yet

    def _stacks(self, *more: int) -> nn.ParameterDict:
        sizes = self._layout.sizes
        return nn.ParameterDict(
            {key: nn.Parameter(torch.empty(*size, *more)) for key, size in sizes.items()}
        )

    def forward(self) -> Sample:
        """One-hot weights of every decision, (groups, n) each; k-hot where it picks several."""
        drawn = self._roll(lambda log_p: _likeliest(log_p + gumbel(log_p, self._generator)))
        log_prob = torch.stack([each.log_p.gather(0, each.index) for each in drawn]).sum()
        entropy = torch.stack([_entropy(each.log_p) for each in drawn]).sum()
        return Sample(self._arch(drawn), log_prob, entropy)

    def uniform(self) -> Sample:
        """A path drawn uniformly from the allowed candidates; no parameter has a part in it."""
        return uniform_path(self._layout, self._masks, self._generator, self.start.detach())

    def probabilities(self) -> Arch:
        """The distribution of every draw given that all earlier ones took their likeliest, rows.

        Deterministic, and nothing is drawn for it: an approximation of the marginals, right where
        the policy is sure of itself or decisions do not depend on each other. Where several
        candidates are picked, a row holds the shares (n,) whose draws without replacement have the
        policy's probabilities along that path: ``p1`` of the likeliest first candidate g, and
        ``(1 - p1(g)) p2`` of the others.
        """
        with torch.no_grad():
            drawn = self._roll(_likeliest)
            values = {key: torch.zeros_like(bias) for key, bias in self.biases.items()}
            for each in drawn:
                p, row = each.log_p.exp(), values[each.turn.stack][each.turn.row]
                if not each.turn.last:
                    p = torch.zeros_like(p).scatter(0, each.index, p.gather(0, each.index))
                row += (1 - row.sum()) * p
        return self._layout.split(values, {key: allowed(m) for key, m in self._masks.items()})

    def _roll(self, choose: Choose) -> list[Draw]:
        """Every draw in turn, each index taken by ``choose``."""
        embeddings, heads, biases = (
            {key: stack.unbind(0) for key, stack in stacks.items()}
            for stacks in (self.embeddings, self.heads, self.biases)
        )
        closed = {key: ~mask.to(self.start.device) for key, mask in self._masks.items()}
        inputs = self.start
        state = torch.zeros_like(inputs), torch.zeros_like(inputs)
        drawn: list[Draw] = []
        for turn in self._turns:
            key, row = turn.stack, turn.row
            if turn.first:
                forbidden = closed[key][row]
            state = self.cell(inputs, state)
            scores = self._scores(functional.linear(state[0][0], heads[key][row], biases[key][row]))
            log_p = scores.masked_fill(forbidden, -torch.inf).log_softmax(-1)
            index = choose(log_p.detach())
            drawn.append(Draw(turn, log_p, index))
            forbidden = forbidden.scatter(0, index, True)
            inputs = embeddings[key][row].index_select(0, index)
        return drawn

    def _scores(self, outputs: Tensor) -> Tensor:
        scores = outputs / self.temperature
        return scores if self.tanh_constant is None else self.tanh_constant * scores.tanh()

    def _arch(self, drawn: Sequence[Draw]) -> Arch:
        indices = torch.cat([each.index for each in drawn]).tolist()  # read once for all draws
        chosen: dict[str, dict[int, list[int]]] = {key: {} for key in self.biases}
        for each, index in zip(drawn, indices, strict=True):
            chosen[each.turn.stack].setdefault(each.turn.row, []).append(index)
        values, live = {}, {}
        for key, bias in self.biases.items():
            rows = [sorted(chosen[key][row]) for row in range(len(bias))]
            hard = torch.zeros(bias.shape, dtype=bias.dtype).scatter(-1, torch.tensor(rows), 1.0)
            values[key], live[key] = hard.to(bias.device), [tuple(row) for row in rows]
        return self._layout.split(values, live)

    def mask(self, name: str) -> Tensor:
        """Allowed candidates of a decision, bool (groups, n)."""
        return self._layout.view(self._masks, name).clone()

    def set_mask(self, name: str, mask: Sequence[bool] | Tensor) -> None:
        """Allow some candidates of a decision; raises ConfigError if too few remain.

        Whatever else the policy has learnt stays as it is.
        """
        if self._layout.write_mask(self._masks, name, mask):
            self._reset.add(self._layout.rows[name].stack)

    def held(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Heads and embeddings of stacks of which a part is masked, with what may change."""
        found: list[tuple[nn.Parameter, Tensor]] = []
        for key, mask in self._masks.items():
            if not bool(mask.all()):
                wide = mask.unsqueeze(-1).expand_as(self.heads[key])
                found += [(self.biases[key], mask), (self.heads[key], wide)]
                found.append((self.embeddings[key], wide))
        return found

    def take_reset(self) -> list[nn.Parameter]:
        """Heads and embeddings of stacks whose mask changed since the last call."""
        taken, self._reset = sorted(self._reset), set()
        stacks = (self.biases, self.heads, self.embeddings)
        return [parameters[key] for key in taken for parameters in stacks]

    def get_extra_state(self) -> dict[str, Any]:
        """Generator and masks: what a resumed search needs beside the parameters."""
        return {
            "generator": self._generator.get_state(),
            "masks": {key: mask.clone() for key, mask in self._masks.items()},
            "reset": sorted(self._reset),
        }

    def set_extra_state(self, state: Any) -> None:
        """Restore what ``get_extra_state`` gave."""
        self._generator.set_state(state["generator"])
        for key, mask in state["masks"].items():
            self._masks[key].copy_(mask)
        self._reset = set(state["reset"])


def _turns(layout: Layout) -> list[Turn]:
    """All draws: decision by decision, group by group, ``pick`` of each."""
    return [
        Turn(rows.stack, row, place == 0, place == layout.decisions[name].pick - 1)
        for name, rows in layout.rows.items()
        for row in range(rows.start, rows.stop)
        for place in range(layout.decisions[name].pick)
    ]


def _likeliest(log_p: Tensor) -> Tensor:
    return log_p.argmax(0, keepdim=True)


def _entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats of log-probabilities (n,), of which some are -inf; scalar."""
    terms = log_p.exp() * log_p.masked_fill(log_p == -torch.inf, 0.0)
    return -terms.sum()


def _check(hidden: int, tanh_constant: float | None, temperature: float, init: float) -> None:
    if not isinstance(hidden, int) or isinstance(hidden, bool) or hidden < 1:
        raise ConfigError(f"strategy.policy.hidden must be a whole number above 0, got {hidden!r}")
    constant = 1.0 if tanh_constant is None else tanh_constant
    named = {"tanh_constant": constant, "temperature": temperature, "init": init}
    for name, value in named.items():
        if not 0 < value < float("inf"):
            raise ConfigError(f"strategy.policy.{name} must be a number above 0, got {value!r}")
