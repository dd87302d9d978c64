"""Where the goal posture jumps between neighbouring goals, and what the value and its loop do across it.

python -m dvp_mpc.studies.posture_jumps --model panda_workspace

The goal posture is the nearest to home of several valleys, so there are surfaces in the workspace across which another valley
becomes the nearest. A goal that is moved across one by a centimetre asks for another posture, perhaps radians away. The value
is told the posture, so its own error need not jump; but the arm swings, and the tool leaves the goal while it does.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dvp_mpc.arguments import require_jobs, require_seed
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.errors import BadSetting, GoalError
from dvp_mpc.models import load_model
from dvp_mpc.problem.optimum import TICKS, optimal_cost
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.studies.evaluation import Case, judge, run_loop
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import results

JUMPS = 231  # first word of the seeds; training has others
SECTORS = {"before the base": 90.0, "beside": 150.0, "behind": 180.0}  # azimuth of the goal, up to [deg]


class Pair(NamedTuple):
    """Two neighbouring goals."""

    a: Goal
    b: Goal

    @property
    def jump(self) -> float:
        """Largest difference of a joint between their postures [rad]."""
        return float(np.abs(self.a.context - self.b.context).max())

    @property
    def sector(self) -> str:
        """Where they lie about the base."""
        azimuth = np.degrees(abs(np.arctan2(self.a.tool[1], self.a.tool[0])))
        return next(name for name, most in SECTORS.items() if azimuth <= most)


class Crossing(NamedTuple):
    """The loop from rest at one goal to its neighbour, one entry per horizon but for the first."""

    value_error: float  # V / V* - 1 where the motion begins
    loss: tuple[float, ...]  # above the optimum
    swing: tuple[float, ...]  # [m] the farthest that the tool was from its goal on the way
    error: tuple[float, ...]  # [m] of the tool at the end
    speed: tuple[float, ...]  # share of the joints' velocity limits, at worst


@dataclass(frozen=True)
class Jumps:
    """Pairs of goals that are neighbours, and the loop across those whose postures are not."""

    model: str = "panda_workspace"
    """Value file, or the name of a shipped one."""
    nodes: tuple[int, ...] = (1, 2, 10)
    """Horizons."""
    pairs: int = 2000
    """Pairs of neighbouring goals, drawn from the goal box."""
    apart: float = 0.01
    """Between the goals of a pair [m]."""
    jump: float = 0.3
    """From here on the postures of a pair count as two [rad]."""
    loops: int = 60
    """Jumps, at most, across which the loop is closed."""
    seed: int = 2026
    """Seed of the pairs."""
    jobs: int = -1
    """Worker processes; -1: one per core."""

    def __post_init__(self) -> None:
        for name in ("pairs", "loops"):
            if getattr(self, name) < 1:
                raise BadSetting(name, getattr(self, name), "must be at least 1")
        for name in ("apart", "jump"):
            if not getattr(self, name) > 0:
                raise BadSetting(name, getattr(self, name), "must be positive")
        if not self.nodes or min(self.nodes) < 1:
            raise BadSetting("nodes", self.nodes, "name at least one horizon, of at least one node")
        require_seed(self.seed)
        require_jobs(self.jobs)


def make_pair(task: ReachTask, apart: float, seed: int, i: int) -> Pair:
    """Pair i of a seed: a goal of the box, and one that is `apart` [m] beside it."""
    rng = np.random.default_rng([JUMPS, seed, i])
    while True:
        a, way = task.sample_goal(rng), rng.standard_normal(3)
        try:
            return Pair(a, task.goal(a.tool + apart * way / np.linalg.norm(way)))
        except GoalError:  # over the edge of what can be reached
            continue


def cross(task: ReachTask, value: ValueFunction, nodes: tuple[int, ...], pair: Pair) -> Crossing:
    """Close the loop from rest at the first goal of a pair to the second."""
    x0 = pair.a.x
    case = Case(x0, pair.b, optimal_cost(task, pair.b, x0))
    runs = [run_loop(task, pair.b, x0, value, MpcSettings(n), TICKS) for n in nodes]
    outcomes = [judge(task, case, run) for run in runs]
    swings = [max(float(np.linalg.norm(task.tool(x) - pair.b.tool)) for x in run.xs) for run in runs]
    V = value.at(pair.b.frame).cost(x0, task.tool(x0))
    return Crossing(
        V / case.optimum - 1,
        tuple(o.suboptimality for o in outcomes),
        tuple(swings),
        tuple(o.tool_error_final for o in outcomes),
        tuple(o.speed_share for o in outcomes),
    )


def where(pairs: list[Pair], jump: float) -> Table:
    """The share of pairs that jump, by where about the base they lie."""
    table = Table("goals", "pairs", f"jump by {jump:g} rad", "largest rad", title="Where the posture jumps")
    for sector in (*SECTORS, "all"):
        here = np.array([pair.jump for pair in pairs if sector in (pair.sector, "all")])
        share, most = (100 * np.mean(here >= jump), here.max()) if len(here) else (0.0, 0.0)
        table.add_row(sector, str(len(here)), f"{share:.1f} %", f"{most:.2f}")
    return table


def across(crossings: list[Crossing], nodes: tuple[int, ...]) -> Table:
    """What the value and its loop do across jumps."""
    off = 100 * np.abs([crossing.value_error for crossing in crossings])
    title = f"Across {len(crossings)} jumps, from rest; |V / V* - 1|: median {np.median(off):.2f} %, worst {off.max():.2f} %"
    head = (
        "nodes",
        "loss %: median",
        "p95",
        "worst",
        "tool swings out cm: median",
        "worst",
        "at 4 s mm",
        "speed / limit",
    )
    table = Table(*head, title=title)
    for k, n in enumerate(nodes):
        loss, swing, final, speed = (
            np.array([getattr(crossing, name)[k] for crossing in crossings]) for name in Crossing._fields[1:]
        )
        losses, swings = np.percentile(loss, [50, 95, 100], method="higher"), np.percentile(swing, [50, 100])
        cells = (*(100 * losses), *(100 * swings), 1e3 * final.max(), speed.max())
        table.add_row(str(n), *(f"{cell:.2f}" for cell in cells))
    return table


def main() -> None:
    """Print two tables."""
    settings, console = tyro.cli(Jumps, description=__doc__), Console(width=140)
    task, value, _ = load_model(settings.model)
    draw = partial(make_pair, task, settings.apart, settings.seed)
    found = results(draw, range(settings.pairs), settings.jobs)
    pairs = list(track(found, "neighbouring goals", settings.pairs, console=console, transient=True))
    console.print(where(pairs, settings.jump))
    apart = [pair for pair in pairs if pair.jump >= settings.jump]
    if not apart:
        console.print("no pair jumps: nothing to cross")
        return
    apart.sort(key=lambda pair: tuple(pair.a.tool))  # they came as they ended, and the choice must not depend on that
    chosen = [apart[k] for k in np.linspace(0, len(apart) - 1, min(settings.loops, len(apart))).astype(int)]
    ended = results(partial(cross, task, value, settings.nodes), chosen, settings.jobs)
    crossings = list(track(ended, "loops", len(chosen), console=console, transient=True))
    console.print(across(crossings, settings.nodes))


if __name__ == "__main__":
    main()
