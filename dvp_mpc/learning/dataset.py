"""collect: sample problems, solve them in parallel, read their labels (paper, sec. III-A).

The work is cut into chunks, each with a seed of its own and each written to disk as it is done. So a run can be stopped at
any moment and resumed, gives the same labels with any number of processes, and repeats at most one chunk per worker when
one dies.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dvp_mpc.errors import RunFailed
from dvp_mpc.files import whole_file
from dvp_mpc.learning.labels import Labels, Solved, concatenate, from_solved, read_labels
from dvp_mpc.learning.sampling import sample_training_start
from dvp_mpc.learning.settings import Sampling, Starts
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Task
from dvp_mpc.value import ValueFunction

CHUNK = 20  # problems; half a second of work, the most that a dead worker costs
TRIES = 3  # deaths of workers before the run gives up


class Collected(NamedTuple):
    """A data set and how it came about."""

    labels: Labels
    problems: int
    rejected: int
    worker_deaths: int


Progress = Callable[[int, int, int], None]  # problems done, of, rejected


def solve_chunk(
    task: Task, value: ValueFunction | None, learned: bool, sampling: Sampling, seed: list[int], count: int
) -> tuple[dict[str, np.ndarray], int]:
    """Label arrays of `count` problems and the number of those that did not converge."""
    rng = np.random.default_rng(seed)
    solved: list[Solved] = []
    for _ in range(count):
        goal = task.sample_goal(rng)
        x0 = sample_training_start(task, goal, sampling.starts, value if learned else None, rng)
        problem = build_problem(task, goal, x0, sampling.horizon, value)
        solver = make_solver(problem)
        if solve(solver, *quasi_static_guess(problem, goal.u), iterations=sampling.iterations) is Status.CONVERGED:
            solved.append(read_labels(task, goal, solver, np.array(sampling.nodes)))
    return (from_solved(solved).arrays() if solved else {}), count - len(solved)


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
    done = sum(size for size, path in zip(sizes, paths, strict=True) if path.exists())
    rejected, lost = 0, 0
    progress(done, sampling.problems, rejected)
    while todo := [k for k, path in enumerate(paths) if not path.exists()]:
        calls = (joblib.delayed(_numbered)(k, task, value, learned, sampling, [*seed, k], sizes[k]) for k in todo)
        try:
            for k, arrays, bad in _parallel(jobs, calls):
                _write(paths[k], arrays, bad)
                done, rejected = done + sizes[k], rejected + bad
                progress(done, sampling.problems, rejected)
        except TerminatedWorkerError as error:
            lost += 1
            if lost == TRIES:
                raise RunFailed(f"a worker process died {TRIES} times while solving ({folder}): {error}") from error
    return _gather(paths, sampling, lost)


def _numbered(k: int, *args: object) -> tuple[int, dict[str, np.ndarray], int]:
    return (k, *solve_chunk(*args))  # type: ignore[arg-type]


def _parallel(jobs: int, calls: Iterator[object]) -> Iterator[tuple[int, dict[str, np.ndarray], int]]:
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        yield from joblib.Parallel(return_as="generator_unordered")(calls)


def _write(path: Path, arrays: dict[str, np.ndarray], rejected: int) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, rejected=np.array(rejected))


def _gather(paths: list[Path], sampling: Sampling, lost: int) -> Collected:
    parts, rejected = [], 0
    for path in paths:
        with np.load(path) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        rejected += int(columns.pop("rejected"))
        if columns:
            parts.append(Labels(**columns))
    if not parts:
        raise RunFailed(f"none of {sampling.problems} problems converged within {sampling.iterations} iterations")
    return Collected(concatenate(parts), sampling.problems, rejected, lost)


def ground_truth_sampling(problems: int) -> Sampling:
    """Long problems from the trusted box, ended by the Riccati value, which is exact where they end; starts only."""
    return Sampling(problems, horizon=300, nodes=(0,), starts=Starts(near=0, wide=0, kicked=0, loop=0), iterations=300)
