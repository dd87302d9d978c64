"""The environment that PPO learns in is the task that DVP solves."""

import numpy as np
import pytest

from dvp_mpc.problem.discount import Discounted
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.systems import Unicycle

gymnasium = pytest.importorskip("gymnasium")
from dvp_mpc.studies.reproduce.gym_env import TaskEnv  # noqa: E402

GAMMA, SCALE = 0.97, 7.0


@pytest.fixture
def env() -> TaskEnv:
    task = Discounted(Unicycle(), GAMMA)
    return TaskEnv(task, task.sample_goal(np.random.default_rng(0)), np.array([2.0, 1.5]), SCALE, episode=30)


def test_a_roll_out_is_the_tasks_own(env: TaskEnv) -> None:
    """Same states and the same discounted cost as the problem that the solver gets, from the same controls."""
    rng = np.random.default_rng(4)
    observation, _ = env.reset(options={"x": np.array([1.0, -0.5, 0.3])})
    x0, actions, states, total = env.x, rng.uniform(-1, 1, (30, 2)), [env.x], 0.0
    half = np.array([2.0, 2.0, np.pi / 2])
    for k, action in enumerate(actions):
        assert observation == pytest.approx(states[-1] / half, rel=1e-6)
        observation, reward, terminated, truncated, _ = env.step(action)
        states.append(env.x)
        total += GAMMA**k * reward
        assert not terminated
        assert truncated == (k == 29)
    goal = env.task.sample_goal(rng)
    problem = build_problem(env.task, goal, x0, 30, None)
    controls = list(actions * [2.0, 1.5])
    expected = problem.rollout(controls)
    assert np.array(states) == pytest.approx(np.array(expected.tolist()), abs=1e-12)
    assert -SCALE * total == pytest.approx(problem.calc(expected, controls), rel=1e-12)


def test_actions_are_clipped_and_starts_lie_in_the_box(env: TaskEnv) -> None:
    assert np.array_equal(env.control(np.array([5.0, -9.0])), [2.0, -1.5])
    lower, upper = env.task.start_box
    first = [env.reset(seed=k)[0] for k in range(20)]
    again = [env.reset(seed=k)[0] for k in range(20)]
    assert np.array_equal(first, again)
    assert len({x.tobytes() for x in first}) == 20
    for _ in range(20):
        env.reset()
        assert ((env.x >= lower) & (env.x <= upper)).all()


def test_gymnasium_finds_nothing_wrong(env: TaskEnv) -> None:
    from gymnasium.utils.env_checker import check_env

    check_env(env, skip_render_check=True)
