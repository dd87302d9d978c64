"""Systems other than arms, as the same kind of problem: the linear-quadratic one, whose value is known exactly, and the
paper's unicycle. The paper's pendulum and cartpole are in classic.py."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import crocoddyl
import numpy as np

from dvp_mpc.problem.riccati import riccati_root
from dvp_mpc.problem.task import Goal


class OriginTask(ABC):
    """What tasks share whose one goal is the origin, kept by zero control, with no state limits and no tool."""

    nt, nc, angles = 0, 0, 0
    nx: int
    nu: int
    dt: float

    half_widths: Sequence[float]  # (nx,) of the start box

    @property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Box (nx,), (nx,) of start states, around the goal."""
        half = np.array(self.half_widths)
        return -half, half

    def stoppable(self, x: np.ndarray) -> np.ndarray:
        """All of them: there are no limits."""
        return x

    @property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """None: infinite."""
        return np.full(self.nx, -np.inf), np.full(self.nx, np.inf)

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Facts behind the digest."""

    @property
    def digest(self) -> str:
        """SHA-256 of the facts."""
        return hashlib.sha256(repr(self.describe()).encode()).hexdigest()

    @abstractmethod
    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """One node."""

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:  # noqa: B027, not to be overridden
        """Nothing to do: there is one goal."""

    def tool(self, x: np.ndarray) -> np.ndarray:
        """No tool: (0,)."""
        return np.zeros(0)

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """No tool: (0,), (0, nx)."""
        return np.zeros(0), np.zeros((0, self.nx))

    @cached_property
    def origin(self) -> Goal:
        """The goal, with its Riccati root."""
        x, u = np.zeros(self.nx), np.zeros(self.nu)
        bare = Goal(x, u, np.zeros(0), np.zeros(0), np.eye(self.nx))
        return Goal(x, u, bare.tool, bare.context, self.root(bare))

    def root(self, bare: Goal) -> np.ndarray:
        """(nx, nx) Riccati root at the origin."""
        return riccati_root(self.running_model(bare), bare.x, bare.u)

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """The origin."""
        return self.origin


@dataclass(frozen=True, eq=False)
class LinearTask(OriginTask):
    """x+ = A x + B u with l = 1/2 x'Q x + 1/2 u'R u; the only goal is the origin and V = 1/2 x'P x (Riccati)."""

    A: np.ndarray  # (nx, nx)
    B: np.ndarray  # (nx, nu)
    Q: np.ndarray  # (nx, nx)
    R: np.ndarray  # (nu, nu)
    dt: float = 1.0

    @property
    def nx(self) -> int:  # type: ignore[override]
        return len(self.A)

    @property
    def nu(self) -> int:  # type: ignore[override]
        return self.B.shape[1]

    @property
    def half_widths(self) -> Sequence[float]:  # type: ignore[override]
        """The unit box."""
        return (1.0,) * self.nx

    def describe(self) -> dict[str, object]:
        """The matrices."""
        return {"task": "linear", "dt": self.dt, **{name: getattr(self, name).tolist() for name in "ABQR"}}

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """Crocoddyl's own LQR node."""
        zero_x, zero_u = np.zeros(self.nx), np.zeros(self.nu)
        cross = np.zeros((self.nx, self.nu))
        return crocoddyl.ActionModelLQR(self.A, self.B, self.Q, self.R, cross, zero_x, zero_x, zero_u)


class WeightedTask(OriginTask):
    """One of the paper's three: a weight for the state and one for the control."""

    w_x: float
    w_u: float

    def describe(self) -> dict[str, object]:
        """Weights, time step and box."""
        weights = {"w_x": self.w_x, "w_u": self.w_u}
        return {"task": type(self).__name__.lower(), "dt": self.dt, **weights, "box": self.half_widths}


@dataclass(frozen=True, eq=False)
class Unicycle(WeightedTask):
    """x = (px [m], py [m], heading [rad]), u = (speed [m/s], turning rate [rad/s]), Crocoddyl's own node:

    px+ = px + dt cos(heading) speed,  py+ = py + dt sin(heading) speed,  heading+ = heading + dt rate
    l   = 1/2 ||w_x x||^2 + 1/2 ||w_u u||^2                                                  (paper, eq. 10, halved)

    Linearised at the origin py cannot be moved, so no stabilising Riccati solution exists: the root is zero, and networks for
    this task want Net(riccati=False). V is finite but has a kink where the unicycle stands beside its goal, and a horizon
    of T nodes misses a share of V that falls like 1/T only (studies/reproduce/truth.py).
    """

    w_x: float = 1.0
    w_u: float = 1.0
    dt: float = 0.1
    half_widths: tuple[float, float, float] = (2.0, 2.0, np.pi / 2)  # of the start box

    nx, nu = 3, 2

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """Crocoddyl's."""
        model = crocoddyl.ActionModelUnicycle()
        model.dt, model.costWeights = self.dt, np.array([self.w_x, self.w_u])
        return model

    def root(self, bare: Goal) -> np.ndarray:
        """Zero, see above."""
        return np.zeros((self.nx, self.nx))
