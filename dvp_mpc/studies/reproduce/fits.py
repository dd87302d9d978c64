"""Fits to one data set of solutions, for figures 5 and 6: which network, which loss, how many samples and epochs.

The data are labels at the starts of problems over T nodes with zero terminal cost, so the target is V_T. An epoch is one
step on all samples. Errors are measured on other starts, through the value that a controller would run:

    value error     mean (V_theta - V)^2 / var V         gradient error   mean ||V_theta,x - V_x||^2 / var V_x
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import Fit, Loss, Net, Optimiser, Sampling
from dvp_mpc.presets import BOX_ONLY, PAPER_NET, SYSTEMS
from dvp_mpc.studies.reproduce.figure import Json, Work
from dvp_mpc.value import Kind, Value

DATA, UNSEEN, WEIGHTS = 302, 303, 304  # first words of seeds


class Way(NamedTuple):
    """A network and a loss."""

    net: Net
    fit: Fit
    label: str
    method: str  # colour
    dashed: bool


_ADAM = Fit(1, rate=5e-3, loss=Loss.SOBOLEV, optimiser=Optimiser.ADAM, threads=1)
_CLASSICAL = Fit(1, rate=5e-3, loss=Loss.CLASSICAL, optimiser=Optimiser.ADAM, threads=1)
_PLAIN = Net((64, 64, 64), residuals=1, kind=Kind.FEEDFORWARD, riccati=False, barrier=False, anchor=False)
WAYS = {
    "residual, Sobolev": Way(PAPER_NET, _ADAM, "residual, Sobolev (the paper's)", "paper", False),
    "residual, classical": Way(PAPER_NET, _CLASSICAL, "residual, classical", "paper", True),
    "feedforward, Sobolev": Way(_PLAIN, _ADAM, "feedforward, Sobolev", "feedforward", False),
    "feedforward, classical": Way(_PLAIN, _CLASSICAL, "feedforward, classical", "feedforward", True),
    "ours": Way(
        SYSTEMS["unicycle"].ours.net, SYSTEMS["unicycle"].ours.fit, "ours: anchored, policy metric, SOAP", "ours", False
    ),
}


@dataclass(frozen=True)
class Data:
    """What is fitted."""

    horizon: int = 50
    unseen: int = 300
    """Held-out starts; the same for all seeds."""


def labels(work: Work, system: str, data: Data, samples: int) -> tuple[Labels, Labels]:
    """Samples of this seed, and held-out ones."""
    from dvp_mpc.learning.dataset import collect

    task = SYSTEMS[system].task
    folder = work.folder / "fits" / f"{system}-{task.digest[:8]}"
    make = partial(collect, task, None, learned=False, jobs=1)

    def sampling(n: int) -> Sampling:
        return Sampling(n, data.horizon, nodes=(0,), starts=BOX_ONLY, iterations=300)

    mine = make(sampling(samples), seed=(DATA, work.seed), folder=folder / f"T{data.horizon}-{samples}-{work.seed}")
    unseen = make(sampling(data.unseen), seed=(UNSEEN,), folder=folder / f"T{data.horizon}-unseen-{data.unseen}")
    return mine.labels, unseen.labels


def fitted(work: Work, system: str, way: str, train: Labels, unseen: Labels, epochs: int) -> Value:
    """A value fitted from nothing.

    Adam's step knows no units, so V is brought to order one for it, and the last layer back: a plain network would otherwise
    spend thousands of steps on reaching the mean of V (measured: its error stayed at 1).
    """

    from dvp_mpc.learning.dvp import layout_of
    from dvp_mpc.learning.training import fit, fresh_value

    task, chosen = SYSTEMS[system].task, WAYS[way]
    rng = np.random.default_rng([WEIGHTS, work.seed])
    value = fresh_value(layout_of(task, chosen.net), train, task.state_limits, rng)
    effort = replace(chosen.fit, steps=epochs, batch=len(train))
    if chosen.fit.loss is Loss.POLICY:  # relative already
        return fit(value, train, unseen, effort, rng)[0]
    plain = chosen.net.kind is Kind.FEEDFORWARD
    scale, offset = float(train.V.std()), float(train.V.mean()) if plain else 0.0
    small, small_unseen = (
        replace(part, V=(part.V - offset) / scale, Vx=part.Vx / scale, Vxx=part.Vxx / scale) for part in (train, unseen)
    )
    value, _ = fit(value, small, small_unseen, effort, rng)
    last = len(chosen.net.hidden)
    weights = dict(value.weights)
    for name in (f"W{last}", f"c{last}", "S"):
        if name in weights:
            weights[name] = weights[name] * (scale if plain else scale**0.5)
    if plain:
        weights[f"c{last}"] = weights[f"c{last}"] + offset
    return replace(value, weights=weights)


def errors(value: Value, truth: Labels) -> Json:
    """Value and gradient error, see above, and the root mean square error of V in its own unit."""
    bound = value.at(truth.frame(0))
    x = truth.x.astype(float)
    none, no_jacobian = np.zeros(0), np.zeros((0, x.shape[1]))
    V = np.array([bound.cost(row, none) for row in x])
    Vx = np.array([bound.derivatives(row, none, no_jacobian)[0] for row in x])
    gradient = ((Vx - truth.Vx) ** 2).sum(1).mean() / truth.Vx.var(0).sum()
    square = float(((V - truth.V) ** 2).mean())
    return {"value": square / float(truth.V.var()), "gradient": float(gradient), "rms": square**0.5}
