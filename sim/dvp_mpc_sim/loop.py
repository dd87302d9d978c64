"""Closing the loop: `simulate` runs a controller on a plant and returns a Log; judging and drawing the log is apart.

    plant       dt = 1 ms    state (q_k, v_k) at t_k = k dt, torque and wrench held on [t_k, t_k + dt)
    controller  1 / rate     called whenever its period has passed, its torque held in between

A wrench is sampled in the middle of the step: the edges of a push lie on the grid, where rounding would decide on which
side of them a sample falls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from dvp_mpc.disturbance import ExternalWrench, acting
from dvp_mpc.errors import BadSetting, RunFailed, UsageError
from dvp_mpc.files import whole_file
from dvp_mpc.problem.arm import Arm

SETTLED = 0.01
"""Tool error below which a motion counts as settled [m]."""
TORQUE_RATE_LIMIT = 1000.0
"""Fastest change of torque that a Panda accepts [N m/s]."""
TOLERANCE = 1e-9
"""Excess over a limit that is rounding and no violation."""


class Controller(Protocol):
    """What the loop asks of a controller."""

    @property
    def rate_hz(self) -> float:
        """How often `step` wants to be called [Hz]."""

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        """Bring the tool to (3,) [m] from now on."""

    def step(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Torque (7,) [N m] for the state at time t [s]."""


class Plant(Protocol):
    """What the loop asks of a plant; `BulletPlant` is one."""

    arm: Arm
    dt: float

    def reset(self, q: np.ndarray, v: np.ndarray | None = None) -> None: ...
    def state(self) -> tuple[np.ndarray, np.ndarray]: ...
    def step(self, torque: np.ndarray, wrenches: Sequence[tuple[str | None, np.ndarray]] = ()) -> None: ...
    def tool_in_world(self) -> np.ndarray: ...
    def show_goal(self, goal_in_world: np.ndarray) -> None: ...


@dataclass(frozen=True, eq=False)
class Log:
    """What happened, one row per plant step; row k is the state at t[k] and what acted on it until t[k + 1]."""

    t: np.ndarray
    """(n,) [s]"""
    q: np.ndarray
    """(n, 7) [rad]"""
    v: np.ndarray
    """(n, 7) [rad/s]"""
    torque: np.ndarray
    """(n, 7) as the controller gave it [N m]"""
    tool_in_world: np.ndarray
    """(n, 3) [m]"""
    goal_in_world: np.ndarray
    """(n, 3) [m]"""
    wrench_in_world: np.ndarray
    """(n, 6) sum of the external wrenches, each taken about the origin of its own link [N, N m]"""
    control_period: float
    """Time between two calls of the controller [s]."""

    @property
    def dt(self) -> float:
        """Time between two rows [s]."""
        return float(self.t[1] - self.t[0])

    def tool_error(self) -> np.ndarray:
        """Distance from tool to goal: (n,) [m]."""
        return np.asarray(np.linalg.norm(self.tool_in_world - self.goal_in_world, axis=1))

    @property
    def tool_error_final_m(self) -> float:
        """Tool error in the last row [m]."""
        return float(self.tool_error()[-1])

    @property
    def settling_time_s(self) -> float | None:
        """Time from which on the tool error stays within 1 cm [s]; None if the log ends outside."""
        outside = np.flatnonzero(~(self.tool_error() <= SETTLED))
        if len(outside) == 0:
            return float(self.t[0])
        return None if outside[-1] + 1 == len(self.t) else float(self.t[outside[-1] + 1])

    @property
    def impulse(self) -> np.ndarray:
        """Integral of the external force: (3,) [N s]."""
        return np.asarray(self.wrench_in_world[:, :3].sum(axis=0) * self.dt)

    def torque_violations(self, arm: Arm) -> int:
        """Rows in which a torque exceeds its limit or is not finite."""
        return _rows(~(np.abs(self.torque) <= arm.torque_limit + TOLERANCE))

    @property
    def rate_violations(self) -> int:
        """Calls of the controller whose torque is further from the previous one than 1000 N m/s allow."""
        updates = self.torque[:: round(self.control_period / self.dt)]
        return _rows(~(np.abs(np.diff(updates, axis=0)) <= TORQUE_RATE_LIMIT * self.control_period + TOLERANCE))

    def position_violations(self, arm: Arm) -> int:
        """Rows in which a joint is outside its position limits."""
        return _rows(~((self.q >= arm.lower - TOLERANCE) & (self.q <= arm.upper + TOLERANCE)))

    def velocity_violations(self, arm: Arm) -> int:
        """Rows in which a joint is faster than its limit."""
        return _rows(~(np.abs(self.v) <= arm.velocity_limit + TOLERANCE))

    def summary(self, arm: Arm) -> dict[str, float | int | None]:
        """The figures by which a run is judged, under the names that reports use."""
        return {
            "tool_error_final_m": self.tool_error_final_m,
            "settling_time_s": self.settling_time_s,
            "impulse_N_s": float(np.linalg.norm(self.impulse)),
            "torque_violations": self.torque_violations(arm),
            "rate_violations": self.rate_violations,
            "position_violations": self.position_violations(arm),
            "velocity_violations": self.velocity_violations(arm),
        }

    def save(self, path: str | Path) -> None:
        """Write the log to an .npz file, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **{name: getattr(self, name) for name in _SAVED})

    @classmethod
    def load(cls, path: str | Path) -> "Log":
        """Read what `save` wrote. Raises UsageError for anything else."""
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in _SAVED}
        except Exception as error:
            raise UsageError(f"{path}: not a simulation log ({error})") from error
        return cls(**arrays | {"control_period": float(arrays["control_period"])})


_SAVED = tuple(field.name for field in fields(Log))


def _rows(violated: np.ndarray) -> int:
    return int(violated.any(axis=1).sum())


def simulate(
    plant: Plant,
    controller: Controller,
    *,
    q0: np.ndarray,
    v0: np.ndarray | None = None,
    duration: float,
    goals: np.ndarray | Mapping[float, np.ndarray],
    disturbances: Sequence[ExternalWrench] = (),
    on_step: Callable[[float], None] | None = None,
) -> Log:
    """Run the controller on the plant from (q0, v0) for `duration` [s] and record it.

    goals is one goal (3,) [m] in the world, or goals by the time [s] from which they hold, the first at 0. on_step
    is called with t before each step: a place for a progress bar or a viewer's pace.

    Raises BadSetting when the controller's period is no multiple of the plant's step, and RunFailed, with the time,
    when the plant refuses a torque.
    """
    hold = plant_steps_per_tick(controller.rate_hz, plant.dt)
    schedule = _schedule(goals)
    rows = round(duration / plant.dt)
    if rows < 2:
        raise BadSetting("duration", duration, f"must be at least two plant steps of {plant.dt:g} s")
    plant.reset(q0, v0)
    record: list[tuple[np.ndarray, ...]] = []
    for k in range(rows):
        t = k * plant.dt
        if on_step is not None:
            on_step(t)
        while schedule and t >= schedule[0][0] - plant.dt / 2:
            goal_in_world = schedule.pop(0)[1]
            controller.set_goal(goal_in_world)
            plant.show_goal(goal_in_world)
        q, v = plant.state()
        if k % hold == 0:
            torque = np.array(controller.step(t, q.copy(), v.copy()), dtype=float)
        wrenches = acting(disturbances, t + plant.dt / 2, partial(plant.arm.rotation_in_world, q))
        wrench = sum((w for _, w in wrenches), np.zeros(6))
        record.append((q, v, torque, plant.tool_in_world(), goal_in_world, wrench))
        try:
            plant.step(torque, wrenches)
        except RunFailed as error:
            raise RunFailed(f"at {t:.3f} s: {error}") from error
    t_rows = np.arange(rows) * plant.dt
    q, v, torque, tool, goal, wrench = (np.array(column) for column in zip(*record, strict=True))
    return Log(t_rows, q, v, torque, tool, goal, wrench, hold * plant.dt)


def plant_steps_per_tick(rate_hz: float, dt: float) -> int:
    """How many plant steps of dt [s] one controller period takes. Raises BadSetting when that is no whole number."""
    steps = 1 / (rate_hz * dt) if rate_hz > 0 else 0.0
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
        raise BadSetting("rate_hz", rate_hz, f"must divide the plant's {1 / dt:g} Hz")
    return round(steps)


def _schedule(goals: np.ndarray | Mapping[float, np.ndarray]) -> list[tuple[float, np.ndarray]]:
    by_time = goals if isinstance(goals, Mapping) else {0.0: goals}
    schedule = sorted((float(t), np.asarray(goal, dtype=float)) for t, goal in by_time.items())
    if not schedule or schedule[0][0] != 0:
        raise BadSetting("goals", sorted(by_time), "the first goal must hold from 0 s")
    for t, goal in schedule:
        if goal.shape != (3,) or not np.isfinite(goal).all():
            raise BadSetting(f"goal from {t:g} s", goal.tolist(), "must be three finite numbers [m]")
    return schedule
