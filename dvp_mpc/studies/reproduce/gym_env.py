"""A discounted task as a Gymnasium environment: the same dynamics, cost and starts, in the scales that a learner likes.

    observation  x / half-width of the start box        action  u / control_scale, in [-1, 1]
    reward       -l(x, u) / cost_scale                  return  -V(x) / cost_scale, with gamma left to the learner

No state ends an episode: the problem goes on for ever. Episodes are cut at `episode` steps, which Gymnasium calls truncation
and which a sound learner answers with its own estimate of the rest.
"""

from typing import Any

import gymnasium
import numpy as np

from dvp_mpc.problem.discount import Discounted
from dvp_mpc.problem.task import Goal, sample_starts


class TaskEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One goal of a task. control_scale: (nu,) greatest control; cost_scale: what a return of -1 costs."""

    def __init__(self, task: Discounted, goal: Goal, control_scale: np.ndarray, cost_scale: float, episode: int):
        self.task, self.control_scale, self.cost_scale, self.episode = task, control_scale, cost_scale, episode
        lower, upper = task.start_box
        self._half = (upper - lower) / 2
        self._model = task.running_model(goal)
        self._data = self._model.createData()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (task.nx,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (task.nu,), np.float32)
        self.x, self._steps = np.zeros(task.nx), 0

    def observe(self, x: np.ndarray) -> np.ndarray:
        """Observation of a state or of many: (..., nx)."""
        return (x / self._half).astype(np.float32)

    def control(self, action: np.ndarray) -> np.ndarray:
        """Control (nu,) of an action; what lies outside [-1, 1] is clipped."""
        return np.clip(action, -1, 1) * self.control_scale

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A start drawn from the task's box, or options["x"] (nx,)."""
        super().reset(seed=seed)
        self._steps = 0
        x = None if options is None else options.get("x")
        self.x = sample_starts(self.task, self.np_random, 1)[0] if x is None else np.array(x, dtype=float)
        return self.observe(self.x), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One node of the task's own model."""
        self._model.calc(self._data, self.x, self.control(action))
        self.x, self._steps = np.array(self._data.xnext), self._steps + 1
        return self.observe(self.x), -self._data.cost / self.cost_scale, False, self._steps >= self.episode, {}
