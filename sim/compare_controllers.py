"""Two controllers on the same start, goal and push: one plot, and their figures side by side.

python sim/compare_controllers.py                                             # N = 2 with the value, N = 10 without
python sim/compare_controllers.py --first riccati 10 --second value 10 --disturbance push:20@1-3
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.episode import run_script, start_and_goal, terminal_cost
from dvp_mpc_sim.loop import simulate
from dvp_mpc_sim.plots import plot_comparison
from rich.console import Console
from rich.table import Table

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import parse_disturbance
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.arms import DOF


@dataclass(frozen=True)
class Compare:
    """A controller is a terminal cost (value, riccati or zero) and the nodes before it."""

    first: tuple[str, int] = ("value", 2)
    """Terminal cost and nodes."""
    second: tuple[str, int] = ("zero", 10)
    """Terminal cost and nodes."""
    seed: int = 39
    """Seed of start and goal."""
    disturbance: str = "impulse:5@1.5"
    """Push on the tool, in the words of `dvp-mpc simulate`."""
    duration: float = 4.0
    """Simulated time [s]."""
    model: str = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    plot: Path = Path("runs", "compare.png")
    """The plot."""


def main() -> None:
    """Run both, draw, print."""
    settings = tyro.cli(Compare)
    task, value, _ = load_model(settings.model)
    x0, goal = start_and_goal(task, settings.seed)
    run = {"duration": settings.duration, "disturbances": [parse_disturbance(settings.disturbance, seed=settings.seed)]}
    logs, columns = {}, []
    for terminal, nodes in (settings.first, settings.second):
        controller = Controller(task, terminal_cost(terminal, value), goal, ControllerSettings(MpcSettings(nodes)))
        with BulletPlant(task.arm) as plant:
            log = simulate(plant, controller, q0=x0[:DOF], v0=x0[DOF:], goals=goal, **run)
        solve = {f"solve_{name}_ms": took for name, took in controller.statistics.solve_ms().items()}
        logs[f"{nodes} nodes + {terminal}"] = log
        columns.append(log.summary(task.arm) | solve)
    table = Table("figure", *logs, title=f"{task.arm.name}, seed {settings.seed}, {settings.disturbance}")
    for name in columns[0]:
        cells = [column[name] for column in columns]
        table.add_row(name, *("never" if cell is None else f"{cell:.4g}" for cell in cells))
    Console(width=100).print(table)
    plot_comparison(logs, task.arm, settings.plot)
    print(f"wrote {settings.plot}")


if __name__ == "__main__":
    run_script(main)
