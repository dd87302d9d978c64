"""PPO of stable-baselines3 on a discounted task; the only file that imports it.

Its critic estimates -V / cost_scale of the policy that explores, its actor is a map from state to control. It learns in stages,
each of which is written to a file.
"""

import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from dvp_mpc.files import whole_file
from dvp_mpc.problem.discount import Discounted
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.reproduce.duel_settings import PpoSettings
from dvp_mpc.studies.reproduce.gym_env import TaskEnv

PPO_SEED = 311  # first word of the seed


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


def stages(settings: PpoSettings, looks: int) -> list[int]:
    """Environment steps at which learning pauses, to be judged and kept; evenly spaced on a logarithmic scale."""
    return [round(steps) for steps in np.geomspace(settings.envs * settings.rollout, settings.steps, looks)]


def learn(
    task: Discounted, goal: Goal, settings: PpoSettings, seed: int, before: Path | None, end: int, to: Path
) -> tuple[Agent, int, float]:
    """Go on from the file `before` (None: from nothing) to `end` environment steps, and write the file `to`.

    Returns the agent, its steps and the processor time [s]. Each stage has a seed of its own and begins with new episodes, so
    that a run which was stopped between two stages ends as one that was not.
    """
    environments = DummyVecEnv([partial(_environment, task, goal, settings)] * settings.envs)
    own = int(np.random.SeedSequence([PPO_SEED, seed, end]).generate_state(1)[0])
    model = (
        _fresh(environments, task.discount, settings, own)
        if before is None
        else PPO.load(before, environments, device="cpu")
    )
    model.set_random_seed(own)
    # The library knows how far this stage is; the rate falls over all of them.
    model.lr_schedule = lambda left: settings.rate * max(1 - (1 - left) * end / settings.steps, 0.0)
    model.set_logger(Logger(None, []))  # the library's own leaves a folder in the temporary files at each call
    began = time.process_time()
    model.learn(end - model.num_timesteps, reset_num_timesteps=False)
    seconds = time.process_time() - began
    with whole_file(to) as part, part.open("wb") as file:
        model.save(file)
    return Agent(model, _environment(task, goal, settings), goal), model.num_timesteps, seconds


def load(path: Path, task: Discounted, goal: Goal, settings: PpoSettings) -> Agent:
    """The agent that `learn` wrote."""
    return Agent(PPO.load(path, device="cpu"), _environment(task, goal, settings), goal)


def _fresh(environments: DummyVecEnv, discount: float, settings: PpoSettings, seed: int) -> PPO:
    return PPO(
        "MlpPolicy",
        environments,
        learning_rate=settings.rate,
        n_steps=settings.rollout,
        batch_size=settings.batch,
        n_epochs=settings.epochs,
        gamma=discount,
        gae_lambda=settings.trace,
        clip_range=settings.clip,
        policy_kwargs={
            "net_arch": {"pi": list(settings.hidden), "vf": list(settings.hidden)},
            "log_std_init": settings.log_std,
        },
        seed=seed,
        device="cpu",
    )


def _environment(task: Discounted, goal: Goal, settings: PpoSettings) -> TaskEnv:
    scale = np.full(task.nu, settings.control_scale)
    return TaskEnv(task, goal, scale, settings.cost_scale, settings.episode)


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
