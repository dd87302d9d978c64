"""PPO of stable-baselines3 on a discounted task; the only file that imports it.

Its critic estimates -V / cost_scale of the policy that explores, its actor is a map from state to control. Both are looked at
while it learns, with the clock stopped.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from dvp_mpc.problem.discount import Discounted
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.reproduce.gym_env import TaskEnv


@dataclass(frozen=True)
class PpoSettings:
    """Settings of a run; what the search of ppo_search.py chose among is said there."""

    steps: int = 300_000
    """Environment steps."""
    envs: int = 16
    """Environments side by side."""
    rollout: int = 128
    """Steps of each between two updates."""
    batch: int = 256
    """States per gradient step."""
    epochs: int = 10
    """Passes over each rollout."""
    rate: float = 1e-3
    """Adam's learning rate, falling linearly to zero."""
    trace: float = 0.95
    """lambda of generalised advantage estimation."""
    clip: float = 0.2
    """Clipping of the probability ratio."""
    log_std: float = -1.0
    """Logarithm of the first exploration noise, in units of the action."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Tanh layers of actor and critic, each its own: as large as the paper's value network."""
    episode: int = 200
    """Steps after which an episode is cut."""
    control_scale: float = 2.0
    """Greatest control, the same for all; beyond what any optimum asks for."""
    cost_scale: float = 30.0
    """Cost that makes a return of -1; about the mean of V."""


class Agent(NamedTuple):
    """A trained actor and critic, in the task's units."""

    model: PPO
    env: TaskEnv

    def value(self, x: np.ndarray) -> np.ndarray:
        """V of states (n, nx): (n,)."""
        policy = self.model.policy
        return (
            -self.env.cost_scale
            * policy.predict_values(policy.obs_to_tensor(self.env.observe(x))[0]).detach().numpy()[:, 0]
        )

    def control(self, x: np.ndarray) -> np.ndarray:
        """Control (nu,) at a state (nx,), without exploration."""
        return self.env.control(self.model.predict(self.env.observe(x), deterministic=True)[0])


Look = Callable[[Agent, int, float], None]  # agent, environment steps so far, seconds so far


def train(task: Discounted, goal: Goal, settings: PpoSettings, seed: int, look: Look, looks: int = 12) -> Agent:
    """Learn; `look` is called `looks` times on the way, the last time at the end. Deterministic for one seed."""

    def environment() -> TaskEnv:
        scale = np.full(task.nu, settings.control_scale)
        return TaskEnv(task, goal, scale, settings.cost_scale, settings.episode)

    model = PPO(
        "MlpPolicy",
        DummyVecEnv([environment] * settings.envs),
        learning_rate=lambda left: settings.rate * left,
        n_steps=settings.rollout,
        batch_size=settings.batch,
        n_epochs=settings.epochs,
        gamma=task.discount,
        gae_lambda=settings.trace,
        clip_range=settings.clip,
        policy_kwargs={
            "net_arch": {"pi": list(settings.hidden), "vf": list(settings.hidden)},
            "log_std_init": settings.log_std,
        },
        seed=seed,
        device="cpu",
    )
    agent = Agent(model, environment())
    watcher = _Watcher(agent, look, np.geomspace(settings.envs * settings.rollout, settings.steps, looks))
    model.learn(settings.steps, callback=watcher)
    watcher.last()
    return agent


def save(agent: Agent, path: Path) -> None:
    """Write actor and critic as one archive."""
    agent.model.save(path)


def load(path: Path, task: Discounted, goal: Goal, settings: PpoSettings) -> Agent:
    """Read what `save` wrote."""
    scale = np.full(task.nu, settings.control_scale)
    return Agent(PPO.load(path, device="cpu"), TaskEnv(task, goal, scale, settings.cost_scale, settings.episode))


class _Watcher(BaseCallback):
    """Calls `look` after the rollouts that pass the wanted step counts; its own time is not the learner's."""

    def __init__(self, agent: Agent, look: Look, at: np.ndarray):
        super().__init__()
        self._agent, self._look, self._at = agent, look, list(at[:-1])
        self._began, self._idle = time.monotonic(), 0.0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:  # here the update of the rollout before has been made
        if self._at and self.num_timesteps >= self._at[0]:
            self._at = [steps for steps in self._at if steps > self.num_timesteps]
            self._call()

    def last(self) -> None:
        """After the last update."""
        self._call()

    def _call(self) -> None:
        now = time.monotonic()
        self._look(self._agent, self.num_timesteps, now - self._began - self._idle)
        self._idle += time.monotonic() - now
