"""Value: a frozen approximation of the infinite-horizon cost-to-go, NumPy only.

Residual kind (paper, eq. 9), the one that controls:

    V(x, g)  = ||r1||^2 + ||r2||^2                           V_x = 2 J' r,   V_xx ~ 2 J' J   (Gauss-Newton)
    r1       = [L' dx; 0] + S z_s + net(z) - net(z_g)        dx = x - x_g,   L from the Riccati equation at the goal
    r2       = a * b                                         b = excess over the soft state limits

    z        = [dx, t(x) - t_g, context_g, w(q) - w(q_g), L' dx, b] / scale,   w = [sin, cos],   z_s = its first two blocks

z_g is z at the goal, so r and with it V and V_x vanish there exactly. r1 starts as the Riccati solution, which is the truth
near the goal; the network only learns what is missing. r2 holds the limit barrier, whose kink no smooth network fits.

Feedforward kind (the paper's comparison): V = net(z) with the Hessian of the network, exact but for the curvature of the
tool map t(x); it may be indefinite.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

import numpy as np

from dvp_mpc.errors import BadSetting


class Kind(str, Enum):
    """What the network's output means."""

    RESIDUAL = "residual"
    FEEDFORWARD = "feedforward"


class GoalFrame(NamedTuple):
    """A goal as a value sees it."""

    x: np.ndarray  # (nx,)
    tool: np.ndarray  # (nt,)
    context: np.ndarray  # (nc,)
    root: np.ndarray  # (nx, nx)


class BoundValue(Protocol):
    """V(., goal) for one goal. x: (nx,), t: (nt,) = tool map at x, Jt: (nt, nx) its Jacobian."""

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        """V."""

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """V_x (nx,) and V_xx (nx, nx)."""


class ValueFunction(Protocol):
    """Anything that gives a cost-to-go for every goal."""

    def at(self, goal: GoalFrame) -> BoundValue: ...


@dataclass(frozen=True)
class Layout:
    """Sizes of a value; everything about the network's shape follows from it."""

    nx: int
    nt: int
    nc: int
    hidden: tuple[int, ...] = (128, 128, 128)
    """Units of each tanh layer."""
    nr: int = 24
    """Residuals of the network; at least nx with the Riccati core."""
    kind: Kind = Kind.RESIDUAL
    riccati: bool = True
    """Build the residual around the Riccati root of the goal."""
    barrier: bool = True
    """Give each state limit a residual of its own."""
    anchor: bool = True
    """Subtract the network's output at the goal, so that V(goal) = 0."""
    angles: int = 0
    """Of the first of the states, joint angles q, sine and cosine are inputs too."""

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise BadSetting("hidden", self.hidden, "needs at least one layer, each with at least one unit")
        least = self.nx if self.riccati and self.kind is Kind.RESIDUAL else 1
        if self.nr < least:
            raise BadSetting("residuals", self.nr, f"must be at least {least} (one per state with the Riccati core)")
        if self.angles and self.kind is Kind.FEEDFORWARD:
            raise BadSetting("angles", self.angles, "needs the residual kind: the Hessian of the other lacks them")

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each block of the input z lies."""
        sizes = {"dx": self.nx, "dt": self.nt, "context": self.nc, "turn": 2 * self.angles}
        sizes |= {"y": self.nx if self.riccati else 0, "b": self.nx if self.barrier else 0}
        ends = np.cumsum(list(sizes.values()))
        return {name: slice(int(end) - size, int(end)) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    @property
    def nz(self) -> int:
        """Size of the input z."""
        return self.blocks["b"].stop

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight array."""
        residual = self.kind is Kind.RESIDUAL
        sizes = [self.nz, *self.hidden, self.nr if residual else 1]
        shapes: dict[str, tuple[int, ...]] = {"scale": (self.nz,), "mean": (self.nz,)}
        for k in range(len(sizes) - 1):
            shapes[f"W{k}"] = (sizes[k + 1], sizes[k])
            shapes[f"c{k}"] = (sizes[k + 1],)
        if residual:
            shapes["S"] = (self.nr, self.nx + self.nt)
            if self.barrier:
                shapes["a"] = (self.nx,)
        return shapes


@dataclass(frozen=True, eq=False)
class Value:
    """A trained value: layout, limits of the barrier and weights (float64). Frozen; `at` binds it to a goal."""

    layout: Layout
    state_limits: tuple[np.ndarray, np.ndarray]  # (nx,), (nx,)
    weights: Mapping[str, np.ndarray] = field(repr=False)

    def __post_init__(self) -> None:
        for name, shape in self.layout.shapes.items():
            if self.weights[name].shape != shape:
                raise ValueError(f"weight {name} has shape {self.weights[name].shape}, the layout asks for {shape}")

    @property
    def layers(self) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
        """What no goal changes: W and c of the layers between the first and the last, and W of the last."""
        w, depth = self.weights, len(self.layout.hidden)
        return [(w[f"W{k}"], w[f"c{k}"]) for k in range(1, depth)], w[f"W{depth}"]

    def at(self, goal: GoalFrame) -> BoundValue:
        """V(., goal): everything that does not depend on x is folded into the first layer here, once per goal."""
        bound = BoundResidual if self.layout.kind is Kind.RESIDUAL else _Feedforward
        return bound(self, goal)


@dataclass(frozen=True)
class RiccatiValue:
    """V(x, g) = ||L'(x - x_g)||^2: no learning at all."""

    def at(self, goal: GoalFrame) -> BoundValue:
        return _Quadratic(goal.x, goal.root)


@dataclass(frozen=True, eq=False)
class _Quadratic:
    x_goal: np.ndarray
    root: np.ndarray

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        y = (x - self.x_goal) @ self.root
        return float(y @ y)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        L = self.root
        return 2 * (L @ ((x - self.x_goal) @ L)), 2 * L @ L.T


def turn(q: np.ndarray) -> np.ndarray:
    """w(q): (..., 2 nq)."""
    return np.concatenate([np.sin(q), np.cos(q)], axis=-1)


class _Network:
    """The tanh layers for one goal, as a function of dx, dt and b: first layer A dx + T dt + P (w - w_g) + B b + c."""

    def __init__(self, value: Value, goal: GoalFrame):
        layout, w = value.layout, value.weights
        at, W = layout.blocks, w["W0"] / w["scale"]
        self.goal, self.layout = goal, layout
        self.lower, self.upper = value.state_limits
        self.A, self.T, self.P, self.B = (W[:, at[block]].copy() for block in ("dx", "dt", "turn", "b"))
        if layout.riccati:
            self.A += W[:, at["y"]] @ goal.root.T
        self.c = w["c0"] - W @ w["mean"] + W[:, at["context"]] @ goal.context
        (self.layers, self.last), self.bias = value.layers, w[f"c{len(layout.hidden)}"]
        self.at_goal = self._forward(self.c)[-1] @ self.last.T
        self.turn_goal = self.P @ turn(goal.x[: layout.angles])

    def _forward(self, z: np.ndarray) -> list[np.ndarray]:
        hidden = [np.tanh(z)]
        for W, c in self.layers:
            hidden.append(np.tanh(W @ hidden[-1] + c))
        return hidden

    def hidden(self, dx: np.ndarray, dt: np.ndarray, b: np.ndarray | None) -> list[np.ndarray]:
        z = self.A @ dx + self.T @ dt + self.c
        if n := self.layout.angles:
            z += self.P @ turn(self.goal.x[:n] + dx[:n]) - self.turn_goal
        if b is not None:
            z += self.B @ b
        return self._forward(z)

    def excess(self, x: np.ndarray) -> np.ndarray | None:
        """b(x): (nx,), or None inside the limits, which is nearly always."""
        if not self.layout.barrier or ((x > self.lower) & (x < self.upper)).all():
            return None
        return np.maximum(x - self.upper, 0.0) + np.maximum(self.lower - x, 0.0)

    def first_jacobian(self, x: np.ndarray, Jt: np.ndarray, b: np.ndarray | None) -> np.ndarray:
        J = self.A + self.T @ Jt
        if n := self.layout.angles:
            sine, cosine = turn(x[:n]).reshape(2, n)
            J[:, :n] += self.P[:, :n] * cosine - self.P[:, n:] * sine
        if b is not None:
            J += self.B * self.slope(x)
        return J

    def slope(self, x: np.ndarray) -> np.ndarray:
        """db/dx, a diagonal: (nx,)."""
        return (x > self.upper).astype(float) - (x < self.lower)


class BoundResidual(_Network):
    """V(., goal) of the residual kind."""

    def __init__(self, value: Value, goal: GoalFrame):
        super().__init__(value, goal)
        nx, nr = self.layout.nx, self.layout.nr
        at, w = self.layout.blocks, value.weights
        scale = w["scale"]
        if not self.layout.anchor:
            self.at_goal = -self.bias
        S = w["S"] / scale[: self.layout.nx + self.layout.nt]
        self.Sx, self.St = S[:, :nx].copy(), S[:, nx:]
        if self.layout.riccati:
            self.Sx[:nx] += goal.root.T
        self.a = w["a"] / scale[at["b"]] if self.layout.barrier else np.zeros(nx)
        self.nr = nr

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the goal enters into, for its compiled twin (native/node.cpp)."""
        names = ("lower", "upper", "A", "T", "P", "B", "c", "at_goal", "Sx", "St", "a")
        return {"x_goal": self.goal.x, "tool_goal": self.goal.tool, **{name: getattr(self, name) for name in names}}

    def _r1(self, x: np.ndarray, t: np.ndarray, b: np.ndarray | None) -> tuple[np.ndarray, list[np.ndarray]]:
        dx, dt = x - self.goal.x, t - self.goal.tool
        hidden = self.hidden(dx, dt, b)
        return self.Sx @ dx + self.St @ dt + self.last @ hidden[-1] - self.at_goal, hidden

    def residual(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """r = [r1; r2]: (nr + nx,)."""
        b = self.excess(x)
        r2 = np.zeros(self.layout.nx) if b is None else self.a * b
        return np.concatenate([self._r1(x, t, b)[0], r2])

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        b = self.excess(x)
        r1 = self._r1(x, t, b)[0]
        V = r1 @ r1
        if b is not None:
            V += (self.a * b) @ (self.a * b)
        return float(V)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b = self.excess(x)
        r1, hidden = self._r1(x, t, b)
        J = self.first_jacobian(x, Jt, b)
        for (W, _), h in zip(self.layers, hidden, strict=False):
            J = W @ ((1 - h * h)[:, None] * J)
        J = self.last @ ((1 - hidden[-1] ** 2)[:, None] * J) + self.Sx + self.St @ Jt
        Vx, Vxx = 2 * (r1 @ J), 2 * (J.T @ J)
        if b is not None:
            a2 = self.a**2
            Vx = Vx + 2 * a2 * b * self.slope(x)
            Vxx = Vxx + np.diag(2 * a2 * (b > 0))
        return Vx, Vxx


class _Feedforward(_Network):
    def __init__(self, value: Value, goal: GoalFrame):
        super().__init__(value, goal)
        self.offset = -self.at_goal if self.layout.anchor else self.bias

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        h = self.hidden(x - self.goal.x, t - self.goal.tool, self.excess(x))[-1]
        return float((self.last @ h + self.offset)[0])

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b = self.excess(x)
        hidden = self.hidden(x - self.goal.x, t - self.goal.tool, b)
        jacobians = [self.first_jacobian(x, Jt, b)]
        for (W, _), h in zip(self.layers, hidden, strict=False):
            jacobians.append(W @ ((1 - h * h)[:, None] * jacobians[-1]))
        g = self.last[0]  # dV/dh of the layer at hand, from the output down
        H = np.zeros((self.layout.nx, self.layout.nx))
        for k in reversed(range(len(hidden))):
            h, J = hidden[k], jacobians[k]
            slope = 1 - h * h
            H += J.T @ ((g * -2 * h * slope)[:, None] * J)  # tanh'' = -2 h (1 - h^2)
            g = (g * slope) @ (self.layers[k - 1][0] if k else np.eye(len(h)))
        return g @ jacobians[0], H
