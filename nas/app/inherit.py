"""``init=inherit``: a network starts with the weights of the supernet it was found in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nas.app.changed import tell_changed
from nas.app.extend import last_of
from nas.app.reopen import saved_config
from nas.app.session import Session
from nas.arch import from_genotype
from nas.build import Parts
from nas.compression import Compressed
from nas.decision import Genotype
from nas.errors import ConfigError, NasError
from nas.store.folder import RunFolder, resolve
from nas.supernet import Supernet


def inherit(session: Session, network: nn.Module, choices: Genotype) -> None:
    """Copy the supernet's weights of a genotype into its network.

    Raises:
        NasError: the genotype comes from no run, its supernet is gone, or shapes differ.
    """
    source = source_of(session)
    tell_changed(source, session.cfg)
    supernet = trained_supernet(source, session)
    frozen = supernet.freeze(from_genotype(supernet.decisions, choices))
    if isinstance(session.parts.space, Compressed):
        frozen = session.parts.space.settled(frozen)
    copy_weights(frozen.state_dict(), network)


def source_of(session: Session) -> RunFolder:
    """The run whose supernet is meant: this one, or the one that its genotype was taken from."""
    named = session.cfg.get("genotype")
    if named is None:
        return session.folder
    path = Path(str(named)).expanduser()
    if path.suffix == ".json":
        above = path.absolute().parents
        found = next((folder for folder in above if (folder / "config.yaml").is_file()), None)
        if found is None:
            raise NasError(f"init=inherit: {path} lies in no run's folder; use init=scratch")
        return RunFolder(found)
    try:
        return resolve(str(named).partition("@")[0], str(session.cfg.runs))
    except NasError as error:
        raise ConfigError(
            f"init=inherit needs the genotype of a run, and {named!r} is none; use init=scratch"
        ) from error


def trained_supernet(run: RunFolder, session: Session) -> Supernet:
    """The supernet of a run's search as its last checkpoint left it, in eval mode.

    It is built for the data and on the device of ``session``, and from modules that this session's
    user allowed: the run's own file allows none.
    """
    loaded = last_of(run)
    cfg = saved_config(run, list(session.cfg.plugins))
    cfg.device = session.cfg.device
    parts = Parts(cfg, session.parts.data)
    parts.update.load_state_dict(loaded.state["update"])
    parts.supernet.eval()
    return parts.supernet


def copy_weights(source: Mapping[str, Tensor], network: nn.Module) -> None:
    """Load ``source`` into ``network``, where every tensor has its counterpart of the same shape.

    A normalization without scale and shift fits one that has them: they start at 1 and 0.
    Raises NasError naming the first difference.
    """
    state = network.state_dict()
    left = {name for name in state if name not in source}
    affine = {name for name in left if _is_affine(name, state)}
    wrong = [
        *(f"{name} is not in the supernet" for name in sorted(left - affine)),
        *(f"{name} is not in the network" for name in sorted(set(source) - set(state))),
        *(
            f"{name} has the shape {tuple(source[name].shape)} in the supernet and "
            f"{tuple(state[name].shape)} in the network"
            for name in state
            if name in source and source[name].shape != state[name].shape
        ),
    ]
    if wrong:
        raise NasError(
            f"init=inherit: {wrong[0]} ({len(wrong)} such differences); both must be of one size "
            "and form, without partial channels: use init=scratch, or make them so"
        )
    network.load_state_dict({**state, **source})


def _is_affine(name: str, state: Mapping[str, Tensor]) -> bool:
    stem, _, last = name.rpartition(".")
    return last in ("weight", "bias") and f"{stem}.running_mean" in state
