"""Ray workers: the twin of `workers.unordered`, on as many machines as a Ray cluster has. The only importer of ray.

Every machine of the cluster imports its own copy of this package, so each must have the same one installed.
"""

import copy
import importlib.metadata
import itertools
import os
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from dvp_mpc.errors import BadSetting, RunFailed, UsageError
from dvp_mpc.threads import ONE_THREAD
from dvp_mpc.workers import Done

try:
    import ray
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayError,
        RayTaskError,
        WorkerCrashedError,
    )
except ImportError as error:
    raise UsageError(f"the Ray backend needs the extra 'ray' (pip install '.[ray]'): {error}") from error

DEATHS = (WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError)
NOT_IMPORTED = "The remote function failed to import"  # how a RuntimeError of Ray's begins that has no type of its own
PATIENCE = 5.0  # s for the head node to take a connection
DECIDE_THE_RESULT = ("dvp-mpc", "crocoddyl", "pin", "numpy", "scipy")


@contextmanager
def ray_cluster(address: str, jobs: int) -> Iterator[None]:
    """A block in which `ray_unordered` works on the cluster at `address`.

    "auto" is the cluster that this machine is part of, HOST:PORT the one with that head node (this machine must be part of
    it too), "local" one of this machine alone, with `jobs` workers, that ends with the block. Raises UsageError when nothing
    answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers unless told not to
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": ONE_THREAD},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    if address == "local":
        options |= {"num_cpus": jobs if jobs > 0 else os.cpu_count(), "include_dashboard": False}
    elif address != "auto":
        _knock(address)
    try:
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise UsageError(f"no Ray cluster at address {address!r}: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


def ray_unordered(function: Callable[[Any], Any], tasks: Iterable[Any], jobs: int) -> Generator[Done, None, None]:
    """function(task) for every task, as they end. jobs: tasks that are under way at a time; -1 is what keeps every core busy.

    A task whose worker or machine died is not tried again here. Exceptions of the function are raised; when the cluster
    itself is lost, RunFailed.
    """
    # Twice the cores: a worker that is done finds the next task waiting, and this process never holds more results.
    at_once = jobs if jobs > 0 else 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    work = ray.put((function, _versions()))  # once, not with every task
    waiting = iter(tasks)
    busy: dict[ray.ObjectRef, Any] = {}
    try:
        while True:
            for task in itertools.islice(waiting, at_once - len(busy)):
                busy[_call.remote(work, task)] = task
            if not busy:
                return
            ray.wait(list(busy), num_returns=1)
            # All that are ready: a look at every task for each result would be what a large cluster waits for.
            for ref in ray.wait(list(busy), num_returns=len(busy), timeout=0)[0]:
                yield _outcome(ref, busy.pop(ref))
    except RayError as error:
        raise _plain(error) from error
    finally:
        for ref in busy:
            ray.cancel(ref, force=True)


def _outcome(ref: ray.ObjectRef, task: Any) -> Done:
    try:
        # What Ray gives are read-only views into its store, which would fill up with all that is kept.
        return Done(task, copy.deepcopy(ray.get(ref)))
    except DEATHS as error:
        return Done(task, None, error)


def _plain(error: RayError) -> Exception:
    """The function's own exception, or a RunFailed of one line."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if not isinstance(cause, RayError) and not str(cause).startswith(NOT_IMPORTED):
        return cause
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    if isinstance(error, RayTaskError):  # the last line is the worker's own error
        return RunFailed(f"a machine of the cluster could not load its work; has it the same dvp-mpc? ({lines[-1]})")
    return RunFailed(f"the Ray cluster failed: {lines[0]}")


@ray.remote(num_cpus=1, max_retries=0)  # Ray would try again without a word, and deaths are to be counted
def _call(work: tuple[Callable[[Any], Any], dict[str, str]], task: Any) -> Any:
    function, wanted = work
    for package, version in _versions().items():
        if version != wanted[package]:
            raise RunFailed(
                f"{socket.gethostname()} has {package} {version}, where this run began with {wanted[package]}; "
                "every machine of the cluster needs the same packages"
            )
    return function(task)


@cache
def _versions() -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in DECIDE_THE_RESULT}


def _knock(address: str) -> None:
    """Raises UsageError unless something listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise BadSetting("address", address, 'must be "auto", "local", or HOST:PORT of a head node')
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster at address {address!r}: {error}") from error
