"""PPO on the environment: the path works, seeds repeat, values and costs are in the task's units."""

import numpy as np
import pytest

from dvp_mpc.studies.reproduce.duel import DuelSettings, PpoSettings, problem

pytest.importorskip("stable_baselines3")
from dvp_mpc.studies.reproduce.ppo import Agent, play, train

TINY = PpoSettings(steps=256, envs=2, rollout=64, batch=64, epochs=2, hidden=(8,), episode=20)
STATES = np.array([[1.0, 0.5, 0.2], [-1.5, 0.0, -0.4]])


def learn(seed: int) -> tuple[Agent, list[tuple[int, float]]]:
    task, goal = problem(DuelSettings())
    looks: list[tuple[int, float]] = []
    agent = train(task, goal, TINY, seed, lambda agent, steps, seconds: looks.append((steps, seconds)), looks=3)
    return agent, looks


def test_a_seed_repeats_and_another_differs() -> None:
    (one, looks), (same, _), (other, _) = learn(5), learn(5), learn(6)
    assert np.array_equal(one.value(STATES), same.value(STATES))
    assert not np.array_equal(one.value(STATES), other.value(STATES))
    assert [steps for steps, _ in looks] == [128, 256]  # after each update, the last one included, none twice
    assert looks == sorted(looks)


def test_costs_are_those_of_the_environment() -> None:
    agent, _ = learn(5)
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
