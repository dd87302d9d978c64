"""Motions from rest to rest in PyBullet, 0.3 to 0.7 m long: how soon the tool stays within 1 cm, beside how soon it could.

python sim/how_brisk.py --model panda_brisk
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tyro
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.episode import SIMULATION, run_script
from dvp_mpc_sim.loop import Log, simulate
from rich.console import Console
from rich.table import Table

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.models import load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.fastest import fastest

BRISK = 7  # second word of the seeds


@dataclass(frozen=True)
class Brisk:
    """From one goal's posture, at rest, to another goal."""

    model: str = "panda_brisk"
    """Value file, or the name of a shipped one."""
    nodes: tuple[int, ...] = (1, 2, 5)
    """Horizons."""
    motions: int = 20
    """Number of motions."""
    seed: int = 1
    """Seed of starts and goals."""
    distance: tuple[float, float] = (0.3, 0.7)
    """Between start and goal of the tool, at least and at most [m]."""
    bound: int = 10
    """Motions for which the time-optimal bound is sought, too; half a minute each."""


def motions(task: ReachTask, settings: Brisk) -> Iterator[tuple[Goal, Goal]]:
    """Pairs of goals as far apart as asked."""
    for i in range(settings.motions):
        rng = np.random.default_rng([SIMULATION, BRISK, settings.seed, i])
        while True:
            a, b = task.sample_goal(rng), task.sample_goal(rng)
            if settings.distance[0] <= np.linalg.norm(b.tool - a.tool) <= settings.distance[1]:
                break
        yield a, b


def overshoot(log: Log) -> float:
    """How far the tool went past its goal, seen from where it came [m]."""
    way = log.goal_in_world[0] - log.tool_in_world[0]
    return max(float(((log.tool_in_world - log.goal_in_world) @ (way / np.linalg.norm(way))).max()), 0.0)


def main() -> None:
    """Print one table."""
    settings = tyro.cli(Brisk)
    task, value, _ = load_model(settings.model)
    pairs = list(motions(task, settings))
    title = f"{settings.model}, PyBullet, {len(pairs)} motions from rest, tool within 1 cm to stay"
    head = ("nodes", "median s", "p95 s", "max s", "never", "overshoot max mm", "at 4 s max mm")
    table = Table(*head, "torque, rate", "position, speed violations", title=title)
    settled: dict[int, list[float]] = {}
    for nodes in settings.nodes:
        logs = []
        for start, goal in pairs:
            controller = Controller(task, value, goal.tool, ControllerSettings(MpcSettings(nodes)))
            with BulletPlant(task.arm) as plant:
                logs.append(simulate(plant, controller, q0=start.x[:DOF], duration=4.0, goals=goal.tool))
        settled[nodes] = [log.settling_time_s or float("inf") for log in logs]
        median, p95, most = np.percentile(settled[nodes], [50, 95, 100], method="higher")
        table.add_row(
            str(nodes),
            *(f"{seconds:.2f}" for seconds in (median, p95, most)),
            str(int(np.isinf(settled[nodes]).sum())),
            f"{1e3 * max(overshoot(log) for log in logs):.1f}",
            f"{1e3 * max(log.tool_error_final_m for log in logs):.2f}",
            f"{sum(log.torque_violations(task.arm) for log in logs)}, {sum(log.rate_violations for log in logs)}",
            f"{sum(log.position_violations(task.arm) for log in logs)}, "
            f"{sum(log.velocity_violations(task.arm) for log in logs)}",
        )
    Console(width=140).print(table)
    if bounds := [fastest(task, goal, start.x) for start, goal in pairs[: settings.bound]]:
        ratios = np.array(settled[settings.nodes[-1]][: len(bounds)]) / bounds
        print(
            f"time-optimal bound, the first {len(bounds)} motions: median {np.nanmedian(bounds):.2f} s; "
            f"N = {settings.nodes[-1]} takes {np.nanmedian(ratios):.2f} times as long (median)"
        )


if __name__ == "__main__":
    run_script(main)
