"""Fast starts, where torques swing as fast as they may and short plans are lengthened: each must still be near its optimum."""

import numpy as np
import pytest

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.control.planner import LONGER_NODES, InlinePlanner, Planned, Solver
from dvp_mpc.control.torque import TORQUE_RATE
from dvp_mpc.models import load_model
from dvp_mpc.problem.task import Goal

pytest.importorskip("pybullet")

from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.episode import start_and_goal
from dvp_mpc_sim.loop import simulate


@pytest.mark.parametrize(("nodes", "seed"), [(1, 204), (1, 218), (2, 218)])
def test_a_lengthened_plan_is_nearly_as_good_as_one_that_was_solved_to_the_end(nodes: int, seed: int) -> None:
    """One Newton step from a held torque left up to half of the cost too much, and feedback gains that threw joints."""
    task, value, _ = load_model("panda_workspace")
    x0, goal_in_world = start_and_goal(task, seed)
    goal = task.goal(goal_in_world)
    solver = Solver(task, goal, value, MpcSettings(nodes))
    excess = []

    def spied(t: float, x: np.ndarray, torque: np.ndarray, goal: Goal, trusted: bool) -> Planned:
        planned = solver(t, x, torque, goal, trusted)
        found = planned.plan.solution  # type: ignore[union-attr]
        if len(found.us) == LONGER_NODES:
            to_the_end = MPC(task, goal, value, MpcSettings(LONGER_NODES, first_iterations=200), TORQUE_RATE)
            excess.append(found.cost / to_the_end.plan(x, 0.005, torque).solution.cost - 1)
        return planned

    controller = Controller(
        task, value, goal_in_world, ControllerSettings(MpcSettings(nodes)), planner=InlinePlanner(spied)
    )
    with BulletPlant(task.arm) as plant:
        simulate(plant, controller, q0=x0[:7], v0=x0[7:], duration=0.08, goals=goal_in_world)
    assert len(excess) >= 3, "this start needs them"
    assert max(excess) < 0.05
