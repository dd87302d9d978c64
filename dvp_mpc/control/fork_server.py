"""Processes that are forked from a server which has imported what they need.

    this process --asks--> server: one thread, everything imported --forks--> child, in milliseconds

A fork of this process would inherit threads that do not exist in it, and locks that they hold. A fresh interpreter imports
for a second, on the cores of a loop that needs them every few milliseconds. The server is `multiprocessing`'s; it ends when
this process and its children have ended, and is started anew when it was killed.
"""

import ctypes
import fcntl
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from dvp_mpc.threads import ONE_THREAD, interrupts_blocked

PR_SET_PDEATHSIG = 1
F_SETSIG = 10  # Linux; `fcntl` does not name it
SERVER_GONE = 255
"""Exit code of a child whose server has ended, and with it the child."""


def packed(arguments: tuple[Any, ...]) -> bytes:
    """The arguments of `forked`: made once, so that no later start can fail over them."""
    return bytes(ForkingPickler.dumps(arguments))


def forked(
    target: Callable[..., None], arguments: bytes, preload: Sequence[str], name: str
) -> tuple[BaseProcess, Connection]:
    """A process that runs target(pipe, *arguments), and our end of the pipe.

    Returns when it has been forked: in milliseconds, or after the imports of the server where that had to be started. The
    server keeps the priority and the processors of the thread that has it started, so this is called before that thread
    asks for any of its own. preload: modules that the server imports; what it cannot import, each child imports for itself.
    """
    context = multiprocessing.get_context("forkserver")
    _start_server(preload)
    ours, theirs = context.Pipe()
    try:
        process = context.Process(target=_run, args=(target, theirs, arguments), name=name, daemon=True)
        with _main_untold(needed=b"__main__" in arguments):
            process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, ours


def _start_server(preload: Sequence[str]) -> None:
    """Start the server unless it runs: one thread in every library, deaf to Ctrl-C, which reaches the whole group.

    `multiprocessing` ignores SIGINT only after the imports, and gives it back to the children.
    """
    forkserver.set_forkserver_preload(list(preload))
    resource_tracker.ensure_running()  # here, since starting it unblocks SIGINT
    environment = {key: os.environ.get(key) for key in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        with interrupts_blocked():
            forkserver.ensure_running()
    finally:
        for key, value in environment.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextmanager
def _main_untold(needed: bool) -> Iterator[None]:
    """Start a child that does not run our main module, unless it has to find something there.

    `multiprocessing` has every child run the module or script that is __main__ here, under another name: for a ROS node that
    is all of rclpy, once more in every child and on the way to its first plan.
    """
    main = sys.modules["__main__"]
    names = () if needed else ("__spec__", "__file__")
    known: dict[str, Any] = {name: vars(main)[name] for name in names if name in vars(main)}
    if known:
        main.__spec__ = None
        vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(known)


def _run(target: Callable[..., None], pipe: Connection, arguments: bytes) -> None:
    _die_with_others()
    target(pipe, *pickle.loads(arguments))


def _die_with_others() -> None:
    """Be killed when the process that asked for this one ends or lets go of it, or when the server ends, however stuck.

    The end of a pipe says the first to those who read; who hangs in C++ or is stopped reads nothing.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    asker = multiprocessing.parent_process()
    assert asker is not None
    ends = asker.sentinel
    fcntl.fcntl(ends, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(ends, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(ends, fcntl.F_SETFL, fcntl.fcntl(ends, fcntl.F_GETFL) | os.O_ASYNC)
    if not asker.is_alive():  # already
        sys.exit()
