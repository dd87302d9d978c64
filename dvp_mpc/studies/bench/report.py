"""bench: one report of everything that is claimed about speed, with the facts of the machine that it holds for."""

import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dvp_mpc import native
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.bench.ticks import Times, Variant, tick_times
from dvp_mpc.studies.evaluation import Progress, close_loop, make_case
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import unordered

RATES_HZ = (200, 500, 1000)
LONG_HORIZONS = (50, 75, 100, 150, 200, 300, 400, 600)


def machine() -> dict[str, Any]:
    """What the figures hold for. load: processes that wanted to run in the last minute, ours among them."""
    model = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    packages = ("numpy", "crocoddyl", "pin", "dvp-mpc")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "terminal_node": native.load()[1] or "compiled",
        "packages": {name: version(name) for name in packages},
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def rows(times: dict[Variant, Times]) -> list[dict[str, Any]]:
    """One row for each horizon and terminal cost. Ratios are of medians, to the same horizon with zero terminal cost."""
    found = []
    for (nodes, terminal), (seconds, stages) in times.items():
        p50, p99, p999 = 1e3 * np.percentile(seconds, [50, 99, 99.9])
        native = times.get((nodes, "zero"))
        found.append(
            {
                "nodes": nodes,
                "terminal": terminal,
                "ticks": len(seconds),
                "tick_ms": {
                    "p50": float(p50),
                    "p99": float(p99),
                    "p999": float(p999),
                    "max": 1e3 * float(seconds.max()),
                },
                "misses": {str(rate): int((seconds > 1 / rate).sum()) for rate in RATES_HZ},
                "ratio_native": float(np.median(seconds) / np.median(native.tick)) if native else None,
                "stages": {name: 1e3 * float(np.median(part)) for name, part in stages.items()},
            }
        )
    return found


def growth(times: dict[Variant, Times]) -> dict[str, dict[str, float]]:
    """Median tick [ms] as offset + per_node N, least squares over the horizons, by terminal cost."""
    found = {}
    for terminal in dict.fromkeys(name for _, name in times):
        nodes = np.array([n for n, name in times if name == terminal], dtype=float)
        medians = np.array([1e3 * np.median(t.tick) for (_, name), t in times.items() if name == terminal])
        if len(nodes) > 1:
            weights = 1 / medians  # relative errors: the long horizons would decide alone
            slope, offset = np.polyfit(nodes, medians, 1, w=weights)
            found[terminal] = {"offset_ms": float(offset), "per_node_ms": float(slope)}
    return found


def equal_cost(
    task: ReachTask,
    value: ValueFunction | None,
    nodes: tuple[int, ...],
    starts: int,
    seed: int,
    jobs: int,
    progress: Progress,
) -> dict[int, tuple[float, int | None, float]]:
    """For each horizon with the value: its median loss, the shortest zero-terminal horizon that loses no more, and its loss.

    None where none of LONG_HORIZONS does; the loss is then that of the longest.
    """
    if not nodes:
        return {}
    wanted = [(n, True) for n in nodes] + [(n, False) for n in LONG_HORIZONS]
    work = _Loss(task, value, seed, starts)
    losses: dict[tuple[int, bool], float] = {}
    for task_done, loss, death in unordered(work, sorted(wanted, key=lambda w: -w[0]), jobs):
        if death is not None:
            raise death
        losses[task_done] = loss
        progress("equal cost", len(losses), len(wanted))
    found: dict[int, tuple[float, int | None, float]] = {}
    for n in nodes:
        as_good = [m for m in LONG_HORIZONS if losses[m, False] <= losses[n, True]]
        shortest = as_good[0] if as_good else None
        found[n] = losses[n, True], shortest, losses[shortest or LONG_HORIZONS[-1], False]
    return found


class _Loss:
    """Median suboptimality of a horizon over some starts; a class, so that it travels to a worker."""

    def __init__(self, task: ReachTask, value: ValueFunction | None, seed: int, starts: int):
        self._task, self._value, self._seed, self._starts = task, value, seed, starts

    def __call__(self, wanted: tuple[int, bool]) -> float:
        nodes, with_value = wanted
        terminal = self._value if with_value else None
        cases = (make_case(self._task, self._seed, i) for i in range(self._starts))
        runs = [close_loop(self._task, case, terminal, MpcSettings(nodes)) for case in cases]
        return float(np.median([run.suboptimality for run in runs]))


def measured_ticks(
    task: ReachTask,
    terminals: dict[str, ValueFunction | None],
    nodes: tuple[int, ...],
    equal: dict[int, tuple[float, int | None, float]],
    seed: int,
    motions: int,
    ticks: int,
    progress: Progress,
) -> tuple[dict[Variant, Times], list[dict[str, Any]]]:
    """Times of every horizon and terminal cost, and of the zero-terminal horizons of equal cost, in one interleaved run."""
    shortest = sorted({found[1] or LONG_HORIZONS[-1] for found in equal.values()} - set(nodes))
    variants = [(n, name) for n in nodes for name in terminals] + [(n, "zero") for n in shortest]
    times = tick_times(task, terminals, variants, seed, motions, ticks, progress)
    compared = [
        {
            "nodes": n,
            "loss_median": loss,
            "zero_nodes": zero_nodes,
            "zero_loss_median": zero_loss,
            "tick_ratio": _ratio(times[n, "value"], times[zero_nodes or LONG_HORIZONS[-1], "zero"]),
        }
        for n, (loss, zero_nodes, zero_loss) in equal.items()
    ]
    return times, compared


def _ratio(one: Times, other: Times) -> float:
    return float(np.median(one.tick) / np.median(other.tick))


def peak_memory_mb() -> float:
    """Peak resident memory of this process [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
