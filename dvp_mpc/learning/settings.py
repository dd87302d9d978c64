"""Settings of the offline wing; every number here is a flag of `dvp-mpc train`. Loads no torch."""

from dataclasses import dataclass, field
from enum import Enum

from dvp_mpc.arguments import require_jobs, require_seed
from dvp_mpc.errors import BadSetting
from dvp_mpc.value import Kind

LABEL_NODES = (
    0,
    1,
    2,
    3,
    4,
    6,
    8,
    11,
    14,
    18,
    22,
    27,
    32,
    38,
    44,
    50,
)  # dense where errors are; the end is the old value


@dataclass(frozen=True)
class Starts:
    """Shares of the kinds of start; what is left of 1 is drawn from the trusted box."""

    near: float = 0.15
    """Near the goal: at a log-uniform 1-100 % of the box's half-widths."""
    wide: float = 0.15
    """From a box 1.35 times as wide, cut at the soft limits."""
    kicked: float = 0.10
    """After up to eight steps of a random constant control within its bounds, the last of which may leave the limits."""
    loop: float = 0.25
    """Share of all the above that is moved on by 1-60 steps of the one-node controller with the value at hand, so that
    the value is taught where it would lead; only once there is a learned value."""

    def __post_init__(self) -> None:
        for name in ("near", "wide", "kicked", "loop"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadSetting(f"starts.{name}", getattr(self, name), "must lie in [0, 1]")
        if self.near + self.wide + self.kicked > 1:
            raise BadSetting("starts.kicked", self.kicked, "near, wide and kicked must not exceed 1 together")


@dataclass(frozen=True)
class Sampling:
    """What to solve for one data set."""

    problems: int = 1500
    """Number of optimal control problems, each with a start and a goal of its own."""
    horizon: int = 100
    """Nodes of each problem."""
    nodes: tuple[int, ...] = LABEL_NODES
    """Nodes of each solution that become labels."""
    starts: Starts = field(default_factory=Starts)
    """Where the problems start."""
    iterations: int = 100
    """Solver iterations before a problem counts as unconverged and is left out."""
    tolerance: float = 1e-7
    """Decrease of the cost still to be expected at which a problem counts as solved. Of a value of 10, 1e-5 is a millionth;
    what a label's gradient then lacks costs a policy as much."""
    follow: int = 0
    """Nodes of the controller whose motion, with the value at hand, is the solver's first guess; 0: the guess is to stand
    still. Only once there is a learned value."""
    per_goal: int = 2
    """Problems with one goal in a row; a goal far from home costs as much as a solve."""


class Loss(str, Enum):
    """What training minimises; see the head of training.py."""

    POLICY = "policy"
    SOBOLEV = "sobolev"
    CLASSICAL = "classical"


class Optimiser(str, Enum):
    """SOAP is Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024, arXiv:2409.11321)."""

    SOAP = "soap"
    ADAM = "adam"


class Device(str, Enum):
    """What training runs on."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True)
class Fit:
    """Settings of one training run."""

    steps: int = 2500
    """Optimiser steps."""
    batch: int = 1024
    """Labels per step."""
    rate: float = 3e-3
    """Peak learning rate, after a warm-up of 10 % and before a cosine to zero."""
    loss: Loss = Loss.POLICY
    """What is minimised."""
    optimiser: Optimiser = Optimiser.SOAP
    """How it is minimised."""
    floor: float = 0.01
    """Values below this count as this when errors are made relative (w = V + floor)."""
    policy: float = 20.0
    """Weight of gradient errors measured by what they cost a one-step policy; 0: not measured so."""
    curvature: float = 0.3
    """Weight of errors of the Hessian along random directions; 0: the Hessian is not looked at."""
    threads: int = 2
    """Torch threads."""
    device: Device = Device.CPU
    """What it runs on. The random numbers are the same; sums are rounded otherwise, so results agree but not to the bit."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "threads"):
            if getattr(self, name) < 1:
                raise BadSetting(f"fit.{name}", getattr(self, name), "must be at least 1")
        for name in ("rate", "floor"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadSetting(f"fit.{name}", getattr(self, name), "must be positive")
        for name in ("policy", "curvature"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadSetting(f"fit.{name}", getattr(self, name), "must not be negative")


class First(str, Enum):
    """The terminal cost of the first iteration."""

    RICCATI = "riccati"
    ZERO = "zero"


@dataclass(frozen=True)
class Net:
    """Shape of the network."""

    hidden: tuple[int, ...] = (128, 128, 128)
    """Units of each tanh layer."""
    residuals: int = 24
    """Outputs of the residual network."""
    kind: Kind = Kind.RESIDUAL
    """Residual (paper, eq. 9) or plain feedforward."""
    riccati: bool = True
    """Build the residual around the Riccati root of the goal."""
    barrier: bool = True
    """Give each state limit a residual of its own."""
    anchor: bool = True
    """Make V(goal) = 0 exactly."""
    angles: bool = False
    """Show the network the sine and cosine of every joint angle too: an arm's inertia and weight are functions of these."""


@dataclass(frozen=True)
class DvpSettings:
    """One run of Differential Value Programming."""

    iterations: int = 3
    """Most iterations."""
    tolerance: float = 1e-3
    """Bellman residual, mean |V_n - V_{n-1}| / mean V, below which the run has converged."""
    first: First = First.RICCATI
    """Terminal cost of the first iteration."""
    sampling: Sampling = field(default_factory=Sampling)
    """Problems solved in each iteration."""
    fit: Fit = field(default_factory=Fit)
    """Training in each iteration, on the labels of the window."""
    last_fit: float = 2.0
    """The last iteration trains this many times as long: its value is the one that is kept."""
    window: int | None = None
    """Iterations whose labels are fitted, newest last; unset: all. A first terminal cost that is far off, such as zero, makes
    first labels that are far off too: a window of 1 forgets them, as the paper does."""
    first_problems: int | None = None
    """Problems of the first iteration, whose labels are as rough as its terminal cost; unset: as many as in the others."""
    first_horizon: int | None = None
    """Nodes of those problems: what the first terminal cost does not know, a long horizon sees; unset: as in the others."""
    first_nodes: tuple[int, ...] | None = None
    """Nodes of those solutions that become labels; what a long one passes later on costs no solve of its own; unset: as in
    the others."""
    net: Net = field(default_factory=Net)
    """The network."""
    validation: int = 200
    """Ground-truth problems for validation."""
    seed: int = 0
    """Seed of sampling and training."""
    jobs: int = -1
    """Worker processes; -1 means one per core. Has no influence on the result."""

    def __post_init__(self) -> None:
        for name in ("iterations", "validation"):
            if getattr(self, name) < 1:
                raise BadSetting(name, getattr(self, name), "must be at least 1")
        if self.first_problems is not None and self.first_problems < 1:
            raise BadSetting("first_problems", self.first_problems, "must be at least 1, or unset")
        if self.window is not None and self.window < 1:
            raise BadSetting("window", self.window, "must be at least 1, or unset for all iterations")
        require_seed(self.seed)
        for name in ("problems", "horizon", "per_goal"):
            if getattr(self.sampling, name) < 1:
                raise BadSetting(f"sampling.{name}", getattr(self.sampling, name), "must be at least 1")
        if not self.sampling.tolerance > 0:
            raise BadSetting("sampling.tolerance", self.sampling.tolerance, "must be positive")
        if self.sampling.follow < 0:
            raise BadSetting("sampling.follow", self.sampling.follow, "must not be negative")
        nodes, horizon = self.sampling.nodes, self.sampling.horizon
        first_horizon = horizon if self.first_horizon is None else self.first_horizon
        _require_nodes("sampling.nodes", nodes, horizon)
        if self.first_nodes is not None:
            _require_nodes("first_nodes", self.first_nodes, first_horizon)
        elif first_horizon < max(nodes):
            raise BadSetting("first_horizon", first_horizon, f"must reach the last label, node {max(nodes)}, or unset")
        require_jobs(self.jobs)
        if not self.last_fit > 0:
            raise BadSetting("last_fit", self.last_fit, "must be positive")


def _require_nodes(field: str, nodes: tuple[int, ...], horizon: int) -> None:
    if not nodes or min(nodes) < 0 or max(nodes) > horizon:
        raise BadSetting(field, nodes, f"must name at least one node, all from 0 to the horizon's {horizon}")
