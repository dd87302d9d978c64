"""Episode: what `dvp-mpc simulate` and the scripts beside this package have in common: a start and a goal from a seed, a
terminal cost and a plant by name, and the pace of somebody who watches.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvp_mpc.arguments import require_seed
from dvp_mpc.errors import DvpError, UnknownChoice, UsageError
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.value import RiccatiValue, Value, ValueFunction
from dvp_mpc_sim.body import NOMINAL, Body
from dvp_mpc_sim.bullet import BulletPlant

if TYPE_CHECKING:
    from dvp_mpc_sim.mujoco_plant import MujocoPlant

ENGINES = ("bullet", "mujoco")
SIMULATION = 301  # first word of the seed; training and evaluation have others


def start_and_goal(
    task: ReachTask, seed: int, *, goal_in_world: Sequence[float] | None = None, at_rest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Start (14,) [rad, rad/s] and goal (3,) [m] in the world, drawn from the box that a value is trusted on.

    goal_in_world takes the place of the one drawn, at_rest that of the start's velocity; neither changes the rest.
    Raises BadSetting for a seed that is none and GoalError for a goal that the task cannot take.
    """
    require_seed(seed)
    rng = np.random.default_rng([SIMULATION, seed])
    drawn, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    if at_rest:
        x0[DOF:] = 0.0
    return x0, drawn.tool if goal_in_world is None else task.goal(np.array(goal_in_world)).tool


def terminal_cost(name: str, value: Value) -> ValueFunction | None:
    """The terminal cost that goes by this name: value (learned), riccati (of the goal, no learning) or zero."""
    table: dict[str, ValueFunction | None] = {"value": value, "riccati": RiccatiValue(), "zero": None}
    if name not in table:
        raise UnknownChoice("terminal", name, table)
    return table[name]


def make_plant(engine: str, arm: Arm, body: Body = NOMINAL, *, gui: bool = False) -> "BulletPlant | MujocoPlant":
    """A plant of this physics engine, as a context. Raises UnknownChoice. gui: Bullet's window."""
    if engine == "bullet":
        return BulletPlant(arm, gui=gui, body=body)
    if engine != "mujoco":
        raise UnknownChoice("engine", engine, ENGINES)
    from dvp_mpc_sim.mujoco_plant import MujocoPlant  # a second engine takes its time to load

    return MujocoPlant(arm, body=body)


def run_script(main: Callable[[], None]) -> None:
    """What stands at the end of a script: an error that is the user's is one line and exit code 2, ours and others' 1."""
    try:
        main()
    except DvpError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def real_time() -> Callable[[float], None]:
    """An `on_step` for `simulate` that waits until as much time has passed as in the simulation."""
    began: list[float] = []

    def on_step(t: float) -> None:
        if not began:
            began.append(time.perf_counter() - t)
        time.sleep(max(0.0, began[0] + t - time.perf_counter()))

    return on_step
