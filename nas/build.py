"""From configuration to objects, top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from omegaconf import DictConfig
from torch import nn

from nas.app.config import data_source as data_source
from nas.app.config import plain as plain
from nas.app.limits import check_limits, configured
from nas.app.objective import objective_of
from nas.app.policy import policy_of
from nas.app.wrapped import transforms_of, wrapped
from nas.arch import from_genotype
from nas.budget import Limits
from nas.compression import Compressed, Rules
from nas.costs import Cost, TreeCost, rule_of
from nas.data import ArrayData, Augment, Batches
from nas.data.resident import resident
from nas.decision import Decision, Genotype
from nas.engine.cuda_graphs import graphed_or_why, resolve_graph
from nas.engine.device import Autocast, autocast_of, check_layout, compile_cells, pick_device
from nas.engine.execution import kernels_of, resolve_execution
from nas.engine.rng import seed_everything
from nas.engine.train import Droppable, DropPathSchedule, Steering, Supervised
from nas.errors import ConfigError
from nas.gradients import WeightTransform
from nas.instantiate import asked, conforming, factory, instantiate, loaded, target_of
from nas.objectives import Objective
from nas.policies import Policy, parameter_groups
from nas.relaxations import Relaxation
from nas.schedules import Schedule
from nas.searchable import apply_partial_channels, set_execution
from nas.settled import Settled, choices_of
from nas.space import (
    SearchSpace,
    blueprint,
    fingerprint,
    name_of,
)
from nas.store.environment import machine
from nas.strategies import Derivation, Update
from nas.supernet import Supernet
from nas.tasks import Task

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass
class Parts:
    """What is built from one configuration, each part once and when it is first needed."""

    cfg: DictConfig
    data: ArrayData
    partial: list[str] = field(default_factory=list)  # where the supernet's channels are partial
    unfused: list[str] = field(default_factory=list)  # why nodes of the supernet are not fused
    begun_with: str | None = None  # the execution that this run's search began with
    ungraphed: str = ""  # why the search's steps run without a CUDA graph where one was thought of

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return pick_device(self.cfg.device)

    @cached_property
    def autocast(self) -> Autocast:
        """The context of every forward."""
        return autocast_of(self.device, self.cfg.precision)

    @cached_property
    def execution(self) -> str:
        """How the supernet is computed: native, fused or plain."""
        wanted = self.begun_with or str(self.cfg.get("execution", "auto"))
        return resolve_execution(wanted, self.device, self.cfg.precision)

    @property
    def channels_last(self) -> bool:
        """Whether images and filters lie in memory with their channels last: on a GPU alone."""
        return bool(self.cfg.get("channels_last", False)) and self.device.type == "cuda"

    @cached_property
    def samples(self) -> ArrayData:
        """The data where batches are cut out of them: on a GPU if they fit there."""
        return resident(self.data, self.device)

    @cached_property
    def task(self) -> Task:
        """What is learnt; checked against the data."""
        task = cast(Task, self._make(Task, self.cfg.task))
        task.check(self.data.spec)
        return task

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, with compression as a part of it where there is any.

        Its constructor gets the DataSpec if it has an argument ``data``. Where an ``architecture``
        is given, nothing is open but its compression.
        """
        node = self.cfg.space
        offered = self._if_asked(node, data=self.data.spec)
        base = cast(SearchSpace, self._make(SearchSpace, node, **offered))
        given, compression = self.cfg.get("architecture"), self.cfg.get("compression")
        compressed = compression is not None and compression.get("_target_") is not None
        if given is not None:
            if not compressed:
                raise ConfigError(
                    "architecture= leaves nothing to search but compression, and there is none; "
                    "add compression=superbit, or train the genotype by nas retrain"
                )
            base = Settled(base, choices_of(given))
        return Compressed(base, self._make(Rules, compression)) if compressed else base

    @cached_property
    def blueprint(self) -> nn.Module:
        """The derived network with every choice open, on the meta device."""
        return blueprint(self.space)

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """Every configured cost, counted on the blueprint.

        Raises ConfigError for a limit on a cost that is not configured.
        """
        check_limits(self.cfg)
        return {name: self._cost(node) for name, node in configured(self.cfg.cost).items()}

    @property
    def counting(self) -> str:
        """What each configured cost counts, in one line."""
        classes = {
            name: loaded(target_of(node), self.cfg.plugins)
            for name, node in configured(self.cfg.cost).items()
        }
        rules = {name: rule_of(each) for name, each in classes.items()}
        return "; ".join(f"{name}: {rule}" for name, rule in rules.items() if rule)

    @cached_property
    def cost_decisions(self) -> Mapping[str, Decision]:
        """The blueprint's decisions, which may have candidates (none) that a genotype lacks."""
        return Supernet(self.blueprint).decisions

    def cost_of(self, choices: Genotype) -> dict[str, float]:
        """Every cost of a genotype's network."""
        known = self.cost_decisions
        chosen = {
            name: tuple(i for row in known[name].positions(choice) for i in row)
            for name, choice in choices.items()
            if name in known
        }

        def value(cost: Cost) -> float:
            if isinstance(cost, TreeCost):
                return cost.exact(chosen)
            return float(cost(from_genotype(known, choices)))  # of a user's own

        return {name: round(value(cost), 6) for name, cost in self.costs.items()}

    @cached_property
    def supernet(self) -> Supernet:
        """The space's supernet with partial channels if the strategy wants them, on the device."""
        # The same initial weights in every sitting, whatever was drawn in this process before.
        seed_everything(self.cfg.seed, "supernet")
        compressed = self.space if isinstance(self.space, Compressed) else None
        net = (compressed.base if compressed else self.space).supernet()
        if self.cfg.strategy.partial_channels is not None:
            self.partial = apply_partial_channels(net, self.cfg.strategy.partial_channels)
        if compressed:  # last: partial channels build operations anew
            net = compressed.compress(net)
        self.unfused = set_execution(
            net, kernels_of(self.execution), self.cfg.get("memory", "normal")
        )
        return self._placed(Supernet(net))

    @cached_property
    def policy(self) -> Policy:
        """What learns or draws the supernet's decisions."""
        return policy_of(self)

    @cached_property
    def relaxation(self) -> Any:
        """From logits to weights."""
        return self._make(Relaxation, self.cfg.strategy.relaxation)

    @cached_property
    def limits(self) -> Limits | None:
        """The limits of the budget; None where there is none."""
        maxima = check_limits(self.cfg)
        return Limits(maxima, self.cost_of) if maxima else None

    @cached_property
    def objective(self) -> Objective:
        """Task loss, one constraint per limit of the budget, and the strategy's pulls on costs."""
        return objective_of(self, self.limits)

    @property
    def searches(self) -> bool:
        """Whether the strategy trains a supernet at all."""
        return self.cfg.strategy["update"] is not None

    @property
    def learns(self) -> bool:
        """Whether the strategy has a policy with something to learn."""
        return self.searches and any(True for _ in self.policy.parameters())

    @cached_property
    def derivation(self) -> Derivation | None:
        """How a genotype is derived where it is not read off the policy's probabilities."""
        node = self.cfg.strategy.get("derivation")
        return None if node is None else cast(Derivation, self._make(Derivation, node))

    @cached_property
    def update(self) -> Update:
        """The update rule over supernet and policy, with its optimizers.

        Raises ConfigError where the strategy trains nothing.
        """
        if not self.searches:
            raise ConfigError(
                "this strategy trains no supernet (strategy.update is null), so that there is none "
                "to go on from or to look at; choose another, such as strategy=spos"
            )
        optim = self.cfg.optim
        self.weights_optimizer = self._factory(optim.weights)(self.supernet.parameters())
        learnt = parameter_groups(self.policy)  # none where paths are drawn uniformly
        architecture = {}
        if learnt:
            architecture["architecture_optimizer"] = self._factory(optim.architecture)(learnt)
        make = self._factory(self.cfg.strategy["update"])
        update = make(
            supernet=self.supernet,
            policy=self.policy,
            objective=self.objective,
            weights_optimizer=self.weights_optimizer,
            autocast=self.autocast,
            **architecture,
        )
        known = cast(Update, conforming(update, Update, target_of(self.cfg.strategy["update"])))
        known = wrapped(self, known)
        self.graphed, self.ungraphed = graphed_or_why(known, self._graph, self.device)
        return self.graphed or known

    @cached_property
    def transforms(self) -> dict[str, WeightTransform]:
        """What acts on the steps of the weights or measures them, by name."""
        return transforms_of(self)

    @cached_property
    def schedules(self) -> list[Schedule]:
        """The weights' learning rate, and what the strategy adds for its relaxation."""
        update, epochs = self.update, self.cfg.trainer.epochs
        assert update is not None
        make_rate = self._factory(self.cfg.optim.weights_schedule)
        rate = make_rate(self.weights_optimizer, epochs=epochs)
        added = [
            self._factory(node)(self.relaxation, epochs=epochs)
            for node in self.cfg.strategy.schedules.values()
        ]
        return [rate, *added, *self.transforms.values(), *([self.graphed] if self.graphed else [])]

    def streams(self) -> dict[str, Batches]:
        """The two streams of a search."""
        size = self.cfg.trainer.batch_size
        return {name: self._stream(name, [name], size) for name in ("weights", "architecture")}

    def retraining(self, network: nn.Module, steering: Steering | None = None) -> Retraining:
        """Everything that trains ``network`` alone on what the search trained on."""
        trainer, optim = self.cfg.trainer, self.cfg.optim
        network = self._placed(network)
        optimizer = self._factory(optim.network)(network.parameters())
        epochs = trainer.network_epochs
        schedules = [self._factory(optim.network_schedule)(optimizer, epochs=epochs)]
        if trainer.drop_path:
            if not isinstance(network, Droppable):
                raise ConfigError(
                    f"trainer.drop_path={trainer.drop_path}, but the networks of space "
                    f"{name_of(self.space)!r} cannot drop paths; set trainer.drop_path=0"
                )
            schedules.append(DropPathSchedule(network, trainer.drop_path, epochs))
        if self.cfg.compile:
            compile_cells(network)
        else:
            set_execution(network, kernels_of(self.execution))
        update = Supervised(
            network,
            self.task,
            optimizer,
            clip=trainer.network_clip,
            auxiliary_weight=trainer.auxiliary_weight,
            autocast=self.autocast,
            steering=steering,
        )
        graphed, why = graphed_or_why(update, self._graph, self.device, compiled=self.cfg.compile)
        if graphed:
            schedules.append(graphed)
        return Retraining(graphed or update, schedules, {"train": self.training()}, epochs, why)

    def training(self) -> Batches:
        """The stream of a retraining; NasError if its batch is larger than the split."""
        # One name for all networks: trained alike, they see the same batches in the same order.
        size = self.cfg.trainer.network_batch_size
        cutout = int(self.cfg.trainer.network_cutout)
        return self._stream("train", ["weights", "architecture"], size, cutout)

    def _stream(
        self, name: str, splits: Sequence[str], batch_size: int, cutout: int = 0
    ) -> Batches:
        self._check_trainable()
        indices = torch.cat([self.data.indices(split) for split in splits])
        node = self.cfg.data.get("augment")  # absent beside a class of the user's own
        augment = None if node is None else cast(Augment, instantiate(node, self.cfg.plugins))
        if cutout:
            augment = replace(augment or Augment(), cutout=cutout)
        if batch_size > len(indices):
            setting = "network_batch_size" if name == "train" else "batch_size"
            raise ConfigError(
                f"batch size {batch_size} is larger than the split {name!r} with its "
                f"{len(indices)} samples; set trainer.{setting}={len(indices)} or less, or give "
                "that split more samples in the data settings"
            )
        return Batches(
            self.samples,
            indices,
            batch_size=batch_size,
            seed=self.cfg.seed,
            name=name,
            augment=augment,
            device=self.device,
            channels_last=self.channels_last,
        )

    def _check_trainable(self) -> None:
        """ConfigError if training asks for what this device lacks; looking at a run does not."""
        wanted = bool(self.cfg.get("channels_last", False))
        check_layout(wanted, self.data.spec.dims, self.device)
        resolve_graph(self._graph, self.device)

    @property
    def _graph(self) -> str | bool:
        """Whether steps are to be captured: auto, True or False."""
        return cast("str | bool", self.cfg.get("cuda_graph", "auto"))

    def _placed(self, network: ModuleT) -> ModuleT:
        """The network on the device, laid out as its inputs will be."""
        network = network.to(self.device)
        return network.to(memory_format=torch.channels_last) if self.channels_last else network

    def _cost(self, node: DictConfig) -> Cost:
        offered = self._if_asked(
            node,
            input_shape=self.data.spec.input_shape,
            fingerprint=fingerprint(self.space),
            here=machine(),
        )
        cost = self._factory(node)(self.blueprint, **offered)
        return cast(Cost, conforming(cost, Cost, target_of(node)))

    def _if_asked(self, node: DictConfig, **offered: Any) -> dict[str, Any]:
        return asked(node, self.cfg.plugins, **offered)

    def _make(self, contract: type, node: Any, **parts: Any) -> Any:
        return conforming(instantiate(node, self.cfg.plugins, **parts), contract, target_of(node))

    def _factory(self, node: Any) -> Callable[..., Any]:
        return factory(node, self.cfg.plugins)


@dataclass(frozen=True)
class Retraining:
    """What the loop needs to train one network alone."""

    update: Update
    schedules: Sequence[Schedule]
    streams: Mapping[str, Batches]
    epochs: int
    ungraphed: str = ""  # why its steps run without a CUDA graph where one was thought of
