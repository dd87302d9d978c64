"""Worker processes that die alone.

joblib's pool is one executor: when a worker is killed it ends all others too, and with them what they had begun. Here
every worker is an executor of its own, so a death costs the one call that it was busy with.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from typing import Any, NamedTuple

import joblib
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from dvp_mpc.errors import RunFailed
from dvp_mpc.threads import ONE_THREAD, interrupts_blocked


class Done(NamedTuple):
    """A call that ended: its result, or the death of its worker."""

    task: Any
    result: Any
    death: Exception | None = None


Workers = Callable[[Callable[[Any], Any], Iterable[Any], int], Generator[Done, None, None]]
"""What `unordered` is, here and on a cluster; its `close` ends what is under way."""


def unordered(function: Callable[[Any], Any], tasks: Iterable[Any], jobs: int) -> Generator[Done, None, None]:
    """function(task) for every task, as they end. jobs: worker processes; -1 is one per core, 1 stays in this process.

    A task whose worker died is not tried again here; the worker is replaced. Exceptions of the function are raised.
    """
    jobs = joblib.effective_n_jobs(jobs)
    if jobs == 1:
        for task in tasks:
            yield Done(task, function(task))
        return
    waiting = iter(tasks)
    busy: dict[Future[Any], tuple[Any, Any]] = {}  # future -> worker, task
    idle = [_worker() for _ in range(jobs)]
    try:
        while True:
            for worker, task in zip(list(idle), waiting, strict=False):  # in this order no task is drawn for no worker
                resource_tracker.ensure_running()  # before, since starting it unblocks SIGINT
                with interrupts_blocked():
                    busy[worker.submit(function, task)] = worker, task
                idle.remove(worker)
            if not busy:
                return
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                worker, task = busy.pop(future)
                try:
                    done = Done(task, future.result())
                except TerminatedWorkerError as error:
                    worker.shutdown(wait=False, kill_workers=True)
                    worker, done = _worker(), Done(task, None, error)
                idle.append(worker)
                yield done
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.shutdown(wait=False, kill_workers=True)


def results(function: Callable[[Any], Any], tasks: Iterable[Any], jobs: int) -> Generator[Any, None, None]:
    """What the function gives for every task, as they end. Raises RunFailed, with the task, when a worker dies."""
    with closing(unordered(function, tasks, jobs)) as ended:
        for done in ended:
            if done.death is not None:
                raise RunFailed(f"a worker process died in {done.task}: {done.death}") from done.death
            yield done.result


def _worker() -> Any:
    return ProcessPoolExecutor(max_workers=1, env=ONE_THREAD)
