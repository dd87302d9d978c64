"""The server that solvers are forked from, in a program of its own: what it and they leave behind, hear, and run on."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Facts = Callable[[int], dict[str, str]]
WaitFor = Callable[..., bool]

pytestmark = pytest.mark.realtime


PROGRAM = """
    import os, signal, sys
    from pathlib import Path

    from dvp_mpc.control.mpc import MpcSettings
    from dvp_mpc.control.planner_process import ProcessPlanner
    from dvp_mpc.control.realtime import prepare_thread
    from dvp_mpc.problem.arm import load_arm
    from dvp_mpc.problem.reach import ReachTask
    from dvp_mpc.value import RiccatiValue

    with Path(sys.argv[1]).open("a") as file:
        print(__name__, file=file)

    class Own(RiccatiValue):
        pass

    if __name__ == "__main__":
        signal.signal(signal.SIGINT, lambda *_: None)
        task = ReachTask(load_arm("panda"))
        goal = task.goal(task.arm.tool_in_world(task.arm.home))
        planner = ProcessPlanner(task, goal, {"own": Own(), "library": RiccatiValue()}[sys.argv[2]], MpcSettings(5))
        prepare_thread("try", (min(os.sched_getaffinity(0)),))  # as the loop does, once it has its solver
        print(planner.pid, flush=True)
        for line in sys.stdin:
            if line == "restart\\n":
                planner.restart()
                while planner.failure == "the solver is starting":
                    pass
            print(f"{planner.pid} {planner.failure}", flush=True)
        planner.close()
"""


class Program:
    """A program of its own with a planner in it: a module, run with -m."""

    def __init__(self, folder: Path, terminal: str, facts: Facts):
        self.ran = folder / "ran"
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
        places = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "program", str(self.ran), terminal],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={k: x for k, x in os.environ.items() if not k.endswith("_NUM_THREADS")} | {"PYTHONPATH": places},
            text=True,
            start_new_session=True,
        )
        self.solver = int(self.line())
        self.server = int(facts(self.solver)["PPid"])

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, words: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.line().split(maxsplit=1)


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest, facts: Facts) -> Iterator[Program]:
    found = Program(tmp_path, getattr(request, "param", "library"), facts)
    yield found
    for pid in (found.process.pid, found.solver, found.server):
        if facts(pid):
            os.kill(pid, signal.SIGKILL)
    found.process.communicate()


@pytest.mark.parametrize("stuck", [False, True])
def test_a_killed_controller_leaves_no_process_behind(
    program: Program, stuck: bool, facts: Facts, wait_for: WaitFor
) -> None:
    assert facts(program.solver)
    assert facts(program.server)
    if stuck:
        os.kill(program.solver, signal.SIGSTOP)
    program.process.kill()
    assert wait_for(lambda: not (facts(program.solver) or facts(program.server)), 5.0)


def test_a_controller_that_ends_leaves_no_process_behind(program: Program, facts: Facts, wait_for: WaitFor) -> None:
    program.process.communicate()
    assert program.process.returncode == 0
    assert wait_for(lambda: not (facts(program.solver) or facts(program.server)), 5.0)


def test_ctrl_c_is_the_controllers_alone_to_hear(program: Program, facts: Facts) -> None:
    os.killpg(program.process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert program.say("look") == [str(program.solver)]
    solver, *failure = program.say("restart")
    assert (int(facts(int(solver))["PPid"]), failure) == (program.server, [])


def test_the_server_has_one_thread_and_none_of_the_loops_rights(program: Program, facts: Facts) -> None:
    solver = int(program.say("restart")[0])
    assert facts(program.server)["Threads"] == "1"
    environment = Path(f"/proc/{program.server}/environ").read_bytes().split(b"\0")
    assert b"OPENBLAS_NUM_THREADS=1" in environment  # it ends its threads when it forks, so that they cannot be counted
    assert len(os.sched_getaffinity(program.process.pid)) == 1
    for pid in (program.server, solver):
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER


@pytest.mark.parametrize(
    ("program", "names"), [("library", ["__main__"]), ("own", ["__main__"] + ["__mp_main__"] * 2)], indirect=["program"]
)
def test_the_main_module_runs_in_a_child_only_where_something_of_it_is_asked_for(
    program: Program, names: list[str]
) -> None:
    """Its imports, rclpy say, are then on the way to the first plan."""
    assert len(program.say("restart")) == 1
    assert program.ran.read_text().split() == names
