"""PPO of stable-baselines3 on a discounted task; the only file that imports it.

Its critic estimates -V / cost_scale of the policy that explores, its actor is a map from state to control. Both are looked at
while it learns, with the clock stopped.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from dvp_mpc.problem.discount import Discounted
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.reproduce.duel import PpoSettings
from dvp_mpc.studies.reproduce.gym_env import TaskEnv


class Agent(NamedTuple):
    """A trained actor and critic, in the task's units."""

    model: PPO
    env: TaskEnv
    goal: Goal

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
    agent = Agent(model, environment(), goal)
    watcher = _Watcher(agent, look, np.geomspace(settings.envs * settings.rollout, settings.steps, looks))
    model.learn(settings.steps, callback=watcher)
    watcher.last()
    return agent


def play(agent: Agent, starts: np.ndarray, steps: int, explore: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trajectories from starts (n, nx): states (n, steps+1, nx), controls (n, steps, nu), discounted costs (n,)."""
    env = agent.env
    model = env.task.running_model(agent.goal)
    data, gamma = model.createData(), env.task.discount
    xs, us, costs = [np.array(starts)], [], np.zeros(len(starts))
    for k in range(steps):
        actions = agent.model.predict(env.observe(xs[-1]), deterministic=not explore)[0]
        us.append(env.control(actions))
        following = []
        for i, (x, u) in enumerate(zip(xs[-1], us[-1], strict=True)):
            model.calc(data, x, u)
            costs[i] += gamma**k * data.cost
            following.append(np.array(data.xnext))
        xs.append(np.array(following))
    return np.stack(xs, 1), np.stack(us, 1), costs


class _Watcher(BaseCallback):
    """Calls `look` after the rollouts that pass the wanted step counts; its own time is not the learner's."""

    def __init__(self, agent: Agent, look: Look, at: np.ndarray):
        super().__init__()
        self._agent, self._look, self._at = agent, look, list(at[:-1])
        self._began, self._idle = time.process_time(), 0.0

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
        now = time.process_time()
        self._look(self._agent, self.num_timesteps, now - self._began - self._idle)
        self._idle += time.process_time() - now
