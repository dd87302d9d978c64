"""posture_jumps: pairs are neighbours, and a crossing is judged by the same scale as every loop."""

import numpy as np
import pytest

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.problem.optimum import optimal_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.evaluation import Case, close_loop
from dvp_mpc.studies.posture_jumps import SECTORS, Pair, cross, make_pair
from dvp_mpc.value import RiccatiValue


def test_a_pair_is_two_goals_as_far_apart_as_asked_and_the_same_every_time(task: ReachTask) -> None:
    for i in range(5):
        pair = make_pair(task, 0.02, 3, i)
        assert np.linalg.norm(pair.a.tool - pair.b.tool) == pytest.approx(0.02, abs=1e-5)
        assert pair.jump == np.abs(pair.a.x - pair.b.x).max()
        assert pair.sector in SECTORS
        assert np.array_equal(pair.b.x, make_pair(task, 0.02, 3, i).b.x)
    assert not np.array_equal(make_pair(task, 0.02, 3, 0).a.tool, make_pair(task, 0.02, 4, 0).a.tool)


def test_a_crossing_begins_at_rest_at_one_goal_and_ends_at_the_other(task: ReachTask) -> None:
    rng = np.random.default_rng(5)
    pair = Pair(task.sample_goal(rng), task.sample_goal(rng))
    found = cross(task, RiccatiValue(), (10,), pair)
    alone = close_loop(
        task, Case(pair.a.x, pair.b, optimal_cost(task, pair.b, pair.a.x)), RiccatiValue(), MpcSettings(10)
    )
    assert found.loss == (alone.suboptimality,)
    assert found.swing[0] >= np.linalg.norm(pair.a.tool - pair.b.tool) - 1e-9
    assert found.error == (alone.tool_error_final,)
