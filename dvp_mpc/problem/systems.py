"""Systems other than arms, as the same kind of problem: here the linear-quadratic one, whose value is known exactly."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import crocoddyl
import numpy as np

from dvp_mpc.problem.riccati import riccati_root
from dvp_mpc.problem.task import Goal


@dataclass(frozen=True, eq=False)
class LinearTask:
    """x+ = A x + B u with l = 1/2 x'Q x + 1/2 u'R u; the only goal is the origin and V = 1/2 x'P x (Riccati)."""

    A: np.ndarray  # (nx, nx)
    B: np.ndarray  # (nx, nu)
    Q: np.ndarray  # (nx, nx)
    R: np.ndarray  # (nu, nu)
    dt: float = 1.0

    nt, nc = 0, 0

    @property
    def nx(self) -> int:
        return len(self.A)

    @property
    def nu(self) -> int:
        return self.B.shape[1]

    @property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """None: infinite."""
        return np.full(self.nx, -np.inf), np.full(self.nx, np.inf)

    @property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """The unit box."""
        return -np.ones(self.nx), np.ones(self.nx)

    def describe(self) -> dict[str, object]:
        """The matrices."""
        return {"task": "linear", "dt": self.dt, **{name: getattr(self, name).tolist() for name in "ABQR"}}

    @property
    def digest(self) -> str:
        """SHA-256 of the matrices."""
        return hashlib.sha256(repr(self.describe()).encode()).hexdigest()

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """Crocoddyl's own LQR node."""
        zero_x, zero_u = np.zeros(self.nx), np.zeros(self.nu)
        cross = np.zeros((self.nx, self.nu))
        return crocoddyl.ActionModelLQR(self.A, self.B, self.Q, self.R, cross, zero_x, zero_x, zero_u)

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:
        """Nothing to do: there is one goal."""

    def tool(self, x: np.ndarray) -> np.ndarray:
        """No tool: (0,)."""
        return np.zeros(0)

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """No tool: (0,), (0, nx)."""
        return np.zeros(0), np.zeros((0, self.nx))

    @cached_property
    def origin(self) -> Goal:
        """The goal."""
        x, u = np.zeros(self.nx), np.zeros(self.nu)
        bare = Goal(x, u, np.zeros(0), np.zeros(0), np.eye(self.nx))
        return Goal(x, u, bare.tool, bare.context, riccati_root(self.running_model(bare), x, u))

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """The origin."""
        return self.origin
