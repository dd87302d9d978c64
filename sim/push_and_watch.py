"""Strike the hand from all sides while the arm holds a point, and watch: a GIF, or Bullet's window as it happens.

python sim/push_and_watch.py --impulse 8
python sim/push_and_watch.py --gui
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.episode import real_time, run_script, start_and_goal
from dvp_mpc_sim.film import film_pictures
from dvp_mpc_sim.loop import simulate
from dvp_mpc_sim.render import write_gif

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import ExternalWrench, Impulse
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.arms import DOF

PICTURES_HZ = 20.0


@dataclass(frozen=True)
class Push:
    """One knock every so often, each from another side."""

    impulse: float = 5.0
    """Strength of each knock [N s]."""
    every: float = 2.0
    """Time before each knock and after the last [s]."""
    duration: float = 8.0
    """Simulated time [s]."""
    nodes: int = 10
    """Nodes of the horizon."""
    seed: int = 0
    """Seed of start, goal and directions."""
    model: str = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    gui: bool = False
    """Show Bullet's window, in real time, and write no film."""
    film: Path = Path("runs", "push.gif")
    """The film."""


def main() -> None:
    """Push, and show."""
    settings = tyro.cli(Push)
    task, value, _ = load_model(settings.model)
    x0, goal = start_and_goal(task, settings.seed, at_rest=True)
    directions = np.random.default_rng(settings.seed).normal(
        size=(max(0, round(settings.duration / settings.every) - 1), 3)
    )
    directions *= settings.impulse / np.linalg.norm(directions, axis=1, keepdims=True)
    knocks = [Impulse(tuple(p), (k + 1) * settings.every) for k, p in enumerate(directions.tolist())]
    pushes = [ExternalWrench(knock) for knock in knocks]
    controller = Controller(task, value, goal, ControllerSettings(MpcSettings(settings.nodes)))
    with BulletPlant(task.arm, gui=settings.gui, visual=True) as plant:
        run = {"duration": settings.duration, "on_step": real_time() if settings.gui else None}
        log = simulate(plant, controller, q0=x0[:DOF], v0=x0[DOF:], goals=goal, disturbances=pushes, **run)
        if not settings.gui:
            print(f"drawing {settings.duration * PICTURES_HZ:.0f} pictures, three a second")
            pictures = film_pictures(plant, log, pushes, rate_hz=PICTURES_HZ)
            write_gif(settings.film, pictures, PICTURES_HZ)
            print(f"wrote {settings.film}")
    for knock in knocks:
        after = 1e3 * log.tool_error()[(log.t >= knock.start) & (log.t < knock.start + settings.every)]
        print(
            f"knock at {knock.start:g} s: the tool gave way by {after.max():.0f} mm and came back to {after[-1]:.2f} mm"
        )


if __name__ == "__main__":
    run_script(main)
