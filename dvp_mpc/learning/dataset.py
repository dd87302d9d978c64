"""collect: sample problems, solve them in parallel, read their labels (paper, sec. III-A).

The work is cut into chunks, each with a seed of its own and each written to disk as it is done. So a run can be stopped at
any moment and resumed, gives the same labels with any number of processes, and repeats one chunk when a worker dies.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.files import DAMAGED, whole_file
from dvp_mpc.learning.labels import Labels, Solved, concatenate, from_solved, read_labels
from dvp_mpc.learning.sampling import sample_training_start
from dvp_mpc.learning.settings import Sampling, Starts
from dvp_mpc.problem.ocp import build_problem, retarget
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Task
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import unordered

CHUNK = 20  # problems; half a second of work, the most that a dead worker costs
TRIES = 3  # deaths of workers before the run gives up


class Chunk(NamedTuple):
    """Label arrays of some problems, none if none converged, and the number that did not."""

    arrays: dict[str, np.ndarray]
    rejected: int


class Collected(NamedTuple):
    """A data set and how it came about."""

    labels: Labels
    problems: int
    rejected: int
    worker_deaths: int


Progress = Callable[[int, int, int], None]  # problems done, of, rejected


def solve_chunk(
    task: Task, value: ValueFunction | None, learned: bool, sampling: Sampling, seed: list[int], count: int
) -> Chunk:
    """Solve `count` problems."""
    rng = np.random.default_rng(seed)
    solved: list[Solved] = []
    solver = None
    for _ in range(count):
        goal = task.sample_goal(rng)
        x0 = sample_training_start(task, goal, sampling.starts, value if learned else None, rng)
        if solver is None:  # one for all: making the data of a hundred nodes takes a tenth of a solve
            problem = build_problem(task, goal, x0, sampling.horizon, value)
            solver = make_solver(problem)
        else:
            retarget(problem, task, goal)
            problem.x0 = x0
        if solve(solver, *quasi_static_guess(problem, goal.u), iterations=sampling.iterations) is Status.CONVERGED:
            solved.append(read_labels(task, goal, solver, np.array(sampling.nodes)))
    return Chunk(from_solved(solved).arrays() if solved else {}, count - len(solved))


def collect(
    task: Task,
    value: ValueFunction | None,
    sampling: Sampling,
    *,
    learned: bool,
    seed: tuple[int, ...],
    folder: Path,
    jobs: int = -1,
    progress: Progress = lambda done, total, rejected: None,
) -> Collected:
    """Solve sampling.problems problems that end in `value` (eq. 6; None: zero) and keep their labels under folder.

    learned says that `value` is more than a first guess, so that states of its own loop are worth sampling. Raises
    RunFailed when no problem converged or a worker keeps dying.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, sampling.problems - start) for start in range(0, sampling.problems, CHUNK)]
    paths = [folder / f"chunk{k:04d}.npz" for k in range(len(sizes))]
    kept = {k: chunk for k, path in enumerate(paths) if (chunk := _read(path)) is not None}
    done = sum(sizes[k] for k in kept)
    rejected, deaths = sum(chunk.rejected for chunk in kept.values()), 0
    progress(done, sampling.problems, rejected)
    work = partial(_solve_numbered, task, value, learned, sampling, seed)
    while todo := [(k, size) for k, size in enumerate(sizes) if k not in kept]:
        for (k, size), chunk, death in unordered(work, todo, jobs):
            if death is not None:
                deaths += 1
                if deaths == TRIES:
                    raise RunFailed(f"a worker process died {TRIES} times while solving ({folder}): {death}") from death
                continue
            kept[k] = chunk
            _write(paths[k], chunk)
            done, rejected = done + size, rejected + chunk.rejected
            progress(done, sampling.problems, rejected)
    parts = [Labels(**kept[k].arrays) for k in sorted(kept) if kept[k].arrays]
    if not parts:
        raise RunFailed(f"none of {sampling.problems} problems converged within {sampling.iterations} iterations")
    return Collected(concatenate(parts), sampling.problems, rejected, deaths)


def _solve_numbered(
    task: Task,
    value: ValueFunction | None,
    learned: bool,
    sampling: Sampling,
    seed: tuple[int, ...],
    numbered: tuple[int, int],
) -> Chunk:
    k, size = numbered
    return solve_chunk(task, value, learned, sampling, [*seed, k], size)


def _write(path: Path, chunk: Chunk) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **chunk.arrays, rejected=np.array(chunk.rejected))


def _read(path: Path) -> Chunk | None:
    """A chunk of an earlier run; None when there is none that can be read, which is then solved again."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        chunk = Chunk(arrays, int(arrays.pop("rejected")))
        if arrays:
            Labels(**arrays)
    except DAMAGED:
        return None
    return chunk


def ground_truth_sampling(problems: int) -> Sampling:
    """Long problems from the trusted box, ended by the Riccati value, which is exact where they end; starts only."""
    return Sampling(problems, horizon=300, nodes=(0,), starts=Starts(near=0, wide=0, kicked=0, loop=0), iterations=300)
