"""collect: sample problems, solve them in parallel, read their labels (paper, sec. III-A).

The work is cut into chunks, each with a seed of its own and each written to disk as it is done. So a run can be stopped at
any moment and resumed, gives the same labels with any number of processes, and repeats one chunk when a worker dies.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import crocoddyl
import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.files import DAMAGED, whole_file
from dvp_mpc.learning.labels import Labels, Solved, concatenate, from_solved, read_labels
from dvp_mpc.learning.sampling import follow, sample_training_start
from dvp_mpc.learning.settings import Sampling, Starts
from dvp_mpc.problem.ocp import build_problem, retarget
from dvp_mpc.problem.solver import Nodes, Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import ValueFunction
from dvp_mpc.workers import Workers, unordered

CHUNK = 20  # problems; half a second of work, the most that a dead worker costs
TRIES = 3  # workers that one chunk may cost before the run gives up; a machine that dies takes many workers at once


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
    solved: list[Solved] = []
    solver = None
    for goal, x0 in draw_problems(task, value if learned else None, sampling, seed, count):
        if solver is None:  # one for all: making the data of a hundred nodes takes a tenth of a solve
            problem = build_problem(task, goal, x0, sampling.horizon, value)
            solver = make_solver(problem, sampling.tolerance)
        else:
            retarget(problem, task, goal)
            problem.x0 = x0
        xs, us, led = _guess(task, goal, problem, value if learned else None, sampling)
        if solve(solver, xs, us, iterations=sampling.iterations, feasible=led) is Status.CONVERGED:
            solved.append(read_labels(task, goal, solver, np.array(sampling.nodes)))
    return Chunk(from_solved(solved).arrays() if solved else {}, count - len(solved))


def draw_problems(
    task: Task, value: ValueFunction | None, sampling: Sampling, seed: list[int], count: int
) -> Iterator[tuple[Goal, np.ndarray]]:
    """The goal and the start of `count` problems. value: of the loop that moves starts on; None: there is no such loop yet."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        if k % sampling.per_goal == 0:
            goal = task.sample_goal(rng)
        yield goal, sample_training_start(task, goal, sampling.starts, value, rng)


def _guess(
    task: Task, goal: Goal, problem: crocoddyl.ShootingProblem, value: ValueFunction | None, sampling: Sampling
) -> tuple[Nodes, Nodes, bool]:
    """A first guess of states and controls, and whether the states are where the controls lead."""
    if value is not None and sampling.follow:
        xs, us = follow(task, goal, np.array(problem.x0), value, sampling.follow, sampling.horizon)
        if len(us) == sampling.horizon:
            return xs, us, True
    return *quasi_static_guess(problem, goal.u), False


def collect(
    task: Task,
    value: ValueFunction | None,
    sampling: Sampling,
    *,
    learned: bool,
    seed: tuple[int, ...],
    folder: Path,
    jobs: int = -1,
    workers: Workers = unordered,
    progress: Progress = lambda done, total, rejected: None,
) -> Collected:
    """Solve sampling.problems problems that end in `value` (eq. 6; None: zero) and keep their labels under folder.

    learned says that `value` is more than a first guess, so that states of its own loop are worth sampling. Raises
    RunFailed when no problem converged or a chunk keeps killing its worker.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, sampling.problems - start) for start in range(0, sampling.problems, CHUNK)]
    paths = [folder / f"chunk{k:04d}.npz" for k in range(len(sizes))]
    kept = {k: chunk for k, path in enumerate(paths) if (chunk := _read(path)) is not None}
    done = sum(sizes[k] for k in kept)
    rejected, deaths = sum(chunk.rejected for chunk in kept.values()), Counter[int]()
    progress(done, sampling.problems, rejected)
    work = partial(_solve_numbered, task, value, learned, sampling, seed)
    while todo := [(k, size) for k, size in enumerate(sizes) if k not in kept]:
        with closing(workers(work, todo, jobs)) as ended:
            for (k, size), chunk, death in ended:
                if death is not None:
                    deaths[k] += 1
                    if deaths[k] == TRIES:
                        raise RunFailed(f"a worker died {TRIES} times while solving {paths[k]}: {death}") from death
                    continue
                kept[k] = chunk
                write_chunk(paths[k], chunk)
                done, rejected = done + size, rejected + chunk.rejected
                progress(done, sampling.problems, rejected)
    parts = [Labels(**kept[k].arrays) for k in sorted(kept) if kept[k].arrays]
    if not parts:
        raise RunFailed(f"none of {sampling.problems} problems converged within {sampling.iterations} iterations")
    return Collected(concatenate(parts), sampling.problems, rejected, deaths.total())


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


def write_chunk(path: Path, chunk: Chunk) -> None:
    """Keep a chunk on disk."""
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
    starts = Starts(near=0, wide=0, kicked=0, loop=0)
    return Sampling(problems, horizon=300, nodes=(0,), starts=starts, iterations=300, per_goal=1)
