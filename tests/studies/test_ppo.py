"""PPO on the environment: the path works, seeds repeat, values and costs are in the task's units."""

from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.studies.reproduce.duel import problem
from dvp_mpc.studies.reproduce.duel_settings import DuelSettings, PpoSettings

pytest.importorskip("stable_baselines3")
from dvp_mpc.studies.reproduce.ppo import Agent, learn, load, play

TINY = PpoSettings(steps=512, envs=2, rollout=64, batch=64, epochs=2, hidden=(8,), episode=20)
STATES = np.array([[1.0, 0.5, 0.2], [-1.5, 0.0, -0.4]])


def trained(seed: int, folder: Path, ends: tuple[int, ...] = (128, 256)) -> Agent:
    task, goal = problem(DuelSettings())
    before: Path | None = None
    for end in ends:
        agent, steps, _ = learn(task, goal, TINY, seed, before, end, folder / f"{end}.zip")
        assert steps == end
        before = folder / f"{end}.zip"
    return agent


def test_a_seed_repeats_and_another_differs(tmp_path: Path) -> None:
    one = trained(5, tmp_path)
    first = (tmp_path / "128.zip").read_bytes()
    task, goal = problem(DuelSettings())
    # As if the run had been stopped behind its first stage.
    again = learn(task, goal, TINY, 5, tmp_path / "128.zip", 256, tmp_path / "again.zip")[0]
    assert np.array_equal(one.value(STATES), again.value(STATES))
    assert np.array_equal(one.value(STATES), load(tmp_path / "256.zip", task, goal, TINY).value(STATES))
    assert not np.array_equal(one.value(STATES), load(tmp_path / "128.zip", task, goal, TINY).value(STATES))
    assert not np.array_equal(one.value(STATES), trained(6, tmp_path).value(STATES))
    assert first != (tmp_path / "128.zip").read_bytes()


def test_the_rate_falls_over_all_stages(tmp_path: Path) -> None:
    agent = trained(5, tmp_path)
    rate = agent.model.policy.optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(TINY.rate / 2)  # 256 of 512 steps
    task, goal = problem(DuelSettings())
    first = load(tmp_path / "128.zip", task, goal, TINY).model.policy.optimizer.param_groups[0]["lr"]
    assert first == pytest.approx(TINY.rate * 3 / 4)


def test_costs_are_those_of_the_environment(tmp_path: Path) -> None:
    agent = trained(5, tmp_path, (128,))
    xs, us, costs = play(agent, STATES, 20, explore=False)
    assert (xs.shape, us.shape) == ((2, 21, 3), (2, 20, 2))
    agent.env.reset(options={"x": STATES[1]})
    returns = 0.0
    for k in range(20):
        assert agent.env.x == pytest.approx(xs[1, k], abs=1e-9)
        reward = agent.env.step(agent.control(agent.env.x) / agent.env.control_scale)[1]
        returns += agent.env.task.discount**k * reward
    assert -agent.env.cost_scale * returns == pytest.approx(costs[1], rel=1e-6)
    explored = play(agent, STATES, 20, explore=True)
    assert not np.array_equal(explored[1], us)
