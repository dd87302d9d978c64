"""The offline wing's speed: labels against bare solver calls, training steps, and what a start costs."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from dvp_mpc.learning.dataset import CHUNK, collect, draw_problems, solve_chunk
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import Fit, Sampling, Starts
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.solver import make_solver, quasi_static_guess, solve
from dvp_mpc.studies.bench.ticks import BENCH
from dvp_mpc.studies.evaluation import Progress
from dvp_mpc.value import Value

COLD_START = """
import numpy as np
from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.models import load_model
task, value, _ = load_model({model!r}, {arm!r})
home = task.arm.home
goal = task.sample_goal(np.random.default_rng(0)).tool
torque = Controller(task, value, goal, ControllerSettings()).step(0.0, home, np.zeros_like(home))
assert np.isfinite(torque).all()
"""


def collect_seconds(task: ReachTask, value: Value, sampling: Sampling, seed: int, jobs: int, **options: Any) -> float:
    """Seconds that `collect` takes for one data set with a learned value, the start of its workers included."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        collect(task, value, sampling, learned=True, seed=(BENCH, seed), folder=Path(folder), jobs=jobs, **options)
        return time.perf_counter() - began


def label_throughput(
    task: ReachTask, value: Value, seed: int, problems: int, jobs: int, progress: Progress
) -> dict[str, Any]:
    """Problems that `collect` solves per second, and what a core makes of bare solver calls beside it.

    ratio_bare: time in bare solver calls over time in `solve_chunk`, for the same problems in one process, in turn: what is
    charged is building, sampling and reading labels. per_second holds everything, the start of the workers too.
    """
    sampling, jobs = Sampling(problems=problems, starts=Starts(loop=0.0)), joblib.effective_n_jobs(jobs)
    chunks = max(problems // (2 * CHUNK), 1)
    whole = bare = 0.0
    for k in range(chunks):
        began = time.perf_counter()
        solve_chunk(task, value, True, sampling, [BENCH, seed, k], CHUNK)
        whole += time.perf_counter() - began
        bare += _bare_seconds(task, value, sampling, [BENCH, seed, k], CHUNK)
        progress("labels, one core", k + 1, chunks)
    wall = collect_seconds(
        task, value, sampling, seed, jobs, progress=lambda done, total, _: progress("labels, all cores", done, total)
    )
    return {
        "problems": problems,
        "workers": jobs,
        "per_second": problems / wall,
        "per_second_one_core": chunks * CHUNK / whole,
        "bare_per_second_one_core": chunks * CHUNK / bare,
        "ratio_bare": bare / whole,
    }


def _bare_seconds(task: ReachTask, value: Value, sampling: Sampling, seed: list[int], count: int) -> float:
    """Time in the solver alone, for the problems of a chunk."""
    seconds = 0.0
    for goal, x0 in draw_problems(task, value, sampling, seed, count):
        problem = build_problem(task, goal, x0, sampling.horizon, value)
        solver, guess = make_solver(problem), quasi_static_guess(problem, goal.u)
        began = time.perf_counter()
        solve(solver, *guess, iterations=sampling.iterations)
        seconds += time.perf_counter() - began
    return seconds


def training_steps(task: ReachTask, value: Value, seed: int, steps: int) -> dict[str, Any] | None:
    """Training steps per second at the default batch; None without the extra 'train', or when no steps are asked for."""
    if steps == 0:
        return None
    try:
        from dvp_mpc.learning.training import fit
    except ImportError:
        return None
    chunk = solve_chunk(task, value, True, Sampling(starts=Starts(loop=0.0)), [BENCH, seed, 0], CHUNK)
    labels = Labels(**chunk.arrays)
    seconds = []
    # The first run of a process pays for much that no other does; the difference of the other two for none of it.
    for n in (1, 2, 2 + steps):
        began = time.perf_counter()
        fit(value, labels, labels.rows(np.arange(64)), Fit(steps=n), np.random.default_rng(seed))
        seconds.append(time.perf_counter() - began)
    return {"steps_per_second": steps / (seconds[2] - seconds[1]), "batch": Fit().batch, "threads": Fit().threads}


def cold_start(model: str, arm: str | None, repeats: int = 3) -> float:
    """Seconds from the start of a Python process to its first torque, the fastest of some."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD_START.format(model=model, arm=arm)], check=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
