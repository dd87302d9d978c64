"""Turn one knob through some values, a few starts and goals for each: a table and a plot.

python sim/sweep_parameter.py --parameter impulse --values 0 5 10 15 20
python sim/sweep_parameter.py --parameter nodes --values 1 2 5 10
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.episode import run_script, start_and_goal
from dvp_mpc_sim.loop import simulate
from dvp_mpc_sim.plots import plot_sweep
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import parse_disturbance
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.arms import DOF

STRUCK = 2.0  # [s]
HEAD = {"impulse": "impulse [N s]", "nodes": "nodes", "plan_hz": "plans per second [Hz]"}


@dataclass(frozen=True)
class Sweep:
    """Every run begins at rest and is struck on the hand from a side of its seed; what is not swept is as usual."""

    parameter: Literal["impulse", "nodes", "plan_hz"] = "impulse"
    """The knob; else the blow has 5 N s, the horizon 10 nodes, and there are 200 plans a second."""
    values: tuple[float, ...] = (2.0, 5.0, 10.0, 15.0, 20.0)
    """Its values."""
    seeds: int = 5
    """Starts and goals for each value."""
    duration: float = 4.0
    """Simulated time [s]."""
    model: str = DEFAULT_MODEL
    """Value file, or the name of a shipped one."""
    plot: Path = Path("runs", "sweep.png")
    """The plot."""


def main() -> None:
    """Run all, print, draw."""
    settings = tyro.cli(Sweep)
    if settings.duration <= STRUCK or (settings.parameter == "nodes" and any(value % 1 for value in settings.values)):
        raise SystemExit(f"the duration must go beyond the blow at {STRUCK:g} s, and nodes must be whole numbers")
    task, value, _ = load_model(settings.model)
    shape = len(settings.values), settings.seeds
    peak, left, solve = np.zeros((3, *shape))
    with BulletPlant(task.arm) as plant:
        for i, seed in track(list(np.ndindex(shape)), "simulating", console=Console(stderr=True)):
            knobs = {"impulse": 5.0, "nodes": 10, "plan_hz": 200.0} | {settings.parameter: settings.values[i]}
            x0, goal = start_and_goal(task, seed, at_rest=True)
            blow = parse_disturbance(f"impulse:{knobs['impulse']:g}@{STRUCK:g}/random", seed=seed)
            mpc = MpcSettings(int(knobs["nodes"]))
            controller = Controller(task, value, goal, ControllerSettings(mpc, plan_hz=knobs["plan_hz"]))
            run = {"duration": settings.duration, "goals": goal, "disturbances": [blow]}
            log = simulate(plant, controller, q0=x0[:DOF], v0=x0[DOF:], **run)
            peak[i, seed] = 1e3 * log.tool_error()[log.t >= STRUCK].max()
            left[i, seed] = 1e3 * log.tool_error_final_m
            solve[i, seed] = controller.statistics.solve_ms()["p50"]
    merits = {"peak error [mm]": peak, "error at the end [mm]": left, "solve p50 [ms]": solve}
    table = Table(escape(HEAD[settings.parameter]), *map(escape, merits), title="median / worst")
    for k, setting in enumerate(settings.values):
        table.add_row(
            f"{setting:g}", *(f"{np.median(found[k]):.3g} / {found[k].max():.3g}" for found in merits.values())
        )
    Console(width=100).print(table)
    plot_sweep(HEAD[settings.parameter], np.array(settings.values), merits, settings.plot)
    print(f"wrote {settings.plot}")


if __name__ == "__main__":
    run_script(main)
