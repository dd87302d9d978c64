"""The solver in a process of its own: the same plans, and a death or hang that costs the caller nothing."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Planned, Solver
from dvp_mpc.control.planner_process import HUNG, PRELOAD, STARTING, ProcessPlanner
from dvp_mpc.errors import RunFailed
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import Goal, sample_starts
from dvp_mpc.value import GoalFrame, RiccatiValue

SETTINGS = MpcSettings(5)

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def shared(task: ReachTask, goal: Goal) -> Iterator[ProcessPlanner]:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    yield planner
    planner.close()


def answer(planner: ProcessPlanner) -> Planned:
    assert wait_for(lambda: planner._child.pipe.poll())
    found = planner.newest()
    assert found is not None
    return found


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return bool(condition())


def plans_again(planner: ProcessPlanner, goal: Goal) -> bool:
    """Whether the solver that was restarted comes up and answers."""
    assert wait_for(lambda: not planner.failure)
    planner.request(3.0, goal.x, goal.u, goal, True)
    return answer(planner).t == 3.0


def facts(pid: int) -> dict[str, str]:
    """What the system says of a process; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {} if found["State"].startswith(("Z", "X")) else found  # nobody may be there to bury an orphan


def parent_of(pid: int) -> int:
    return int(facts(pid)["PPid"])


def test_plans_are_those_of_the_same_solver_here(shared: ProcessPlanner, task: ReachTask, goals: list[Goal]) -> None:
    here = Solver(task, goals[0], RiccatiValue(), SETTINGS)
    here(0.0, goals[0].x, goals[0].u, goals[0], True)  # as the child did to prove itself
    for k, x in enumerate(sample_starts(task, np.random.default_rng(3), 4)):
        wanted = here(0.005 * k, x, goals[0].u, goals[k // 2], k != 2)
        shared.request(0.005 * k, x, goals[0].u, goals[k // 2], k != 2)
        found = answer(shared)
        assert found.t == 0.005 * k
        assert found.plan is not None
        assert wanted.plan is not None
        np.testing.assert_allclose(found.plan.solution.us, wanted.plan.solution.us, rtol=1e-9, atol=1e-9)
    assert shared.newest() is None


def test_a_request_while_one_is_under_way_is_dropped(shared: ProcessPlanner, goal: Goal) -> None:
    shared.request(1.0, goal.x, goal.u, goal, True)
    shared.request(2.0, goal.x, goal.u, goal, True)
    assert answer(shared).t == 1.0
    time.sleep(0.05)
    assert shared.newest() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT])
def test_death_is_noticed_said_and_mended(task: ReachTask, goal: Goal, how: signal.Signals) -> None:
    slowly = functools.partial(time.sleep, 0.5)  # or the new one may be there before it is asked for
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS, slowly)
    try:
        assert planner.failure == ""
        os.kill(planner.pid, how)
        assert wait_for(lambda: planner.failure)
        assert how.name in planner.failure
        planner.request(0.0, goal.x, goal.u, goal, True)
        assert planner.newest() is None
        planner.restart()
        assert planner.failure == STARTING
        assert plans_again(planner, goal)
    finally:
        planner.close()


def test_a_replacement_costs_far_less_than_a_fresh_interpreter(task: ReachTask, goal: Goal) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        took, fresh = [], []
        for _ in range(3):  # in turn, so that a busy machine slows both
            began = time.monotonic()
            planner.restart()
            assert wait_for(lambda: not planner.failure)
            took.append(time.monotonic() - began)
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", f"import {PRELOAD[0]}"], check=True)
            fresh.append(time.monotonic() - began)
        assert min(took) < 0.4 * min(fresh)  # 0.1 on an idle machine, and the fresh one has not solved yet
    finally:
        planner.close()


def test_the_death_of_the_server_is_noticed_said_and_mended(task: ReachTask, goal: Goal) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        before = planner.pid
        server = parent_of(before)
        assert server != os.getpid()
        os.kill(server, signal.SIGKILL)
        assert wait_for(lambda: planner.failure)
        assert "with the server" in planner.failure
        assert wait_for(lambda: not facts(before))  # the child does not outlive it as an orphan
        planner.restart()
        assert plans_again(planner, goal)
    finally:
        planner.close()


def test_a_hang_is_noticed(task: ReachTask, goal: Goal) -> None:
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        os.kill(planner.pid, signal.SIGSTOP)
        began = time.monotonic()
        planner.request(0.0, goal.x, goal.u, goal, True)
        assert time.monotonic() - began < 0.1
        assert wait_for(lambda: planner.failure)
        assert time.monotonic() - began >= HUNG
        assert "no answer" in planner.failure
    finally:
        planner.close()


def test_an_answer_that_nobody_took_is_no_failure(task: ReachTask, goal: Goal) -> None:
    """As at the end of every loop: its last request is answered after it."""
    planner = ProcessPlanner(task, goal, RiccatiValue(), SETTINGS)
    try:
        planner.request(0.0, goal.x, goal.u, goal, True)
        time.sleep(2 * HUNG)
        assert not planner.failure
        assert planner.newest() is not None
    finally:
        planner.close()


class Raising:
    """A value that fails from the first call; importable, so that it reaches the child."""

    def at(self, frame: GoalFrame) -> "Raising":
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        raise ValueError("no value here")

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise ValueError("no value here")


def test_a_solver_that_cannot_plan_is_refused_at_the_start(task: ReachTask, goal: Goal) -> None:
    with pytest.raises(RunFailed):
        ProcessPlanner(task, goal, Raising(), SETTINGS)


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

    def __init__(self, folder: Path, terminal: str):
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
        self.server = parent_of(self.solver)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, words: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.line().split(maxsplit=1)


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    found = Program(tmp_path, getattr(request, "param", "library"))
    yield found
    for pid in (found.process.pid, found.solver, found.server):
        if facts(pid):
            os.kill(pid, signal.SIGKILL)
    found.process.communicate()


@pytest.mark.parametrize("stuck", [False, True])
def test_a_killed_controller_leaves_no_process_behind(program: Program, stuck: bool) -> None:
    assert facts(program.solver)
    assert facts(program.server)
    if stuck:
        os.kill(program.solver, signal.SIGSTOP)
    program.process.kill()
    assert wait_for(lambda: not (facts(program.solver) or facts(program.server)), 5.0)


def test_a_controller_that_ends_leaves_no_process_behind(program: Program) -> None:
    program.process.communicate()
    assert program.process.returncode == 0
    assert wait_for(lambda: not (facts(program.solver) or facts(program.server)), 5.0)


def test_ctrl_c_is_the_controllers_alone_to_hear(program: Program) -> None:
    os.killpg(program.process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert program.say("look") == [str(program.solver)]
    solver, *failure = program.say("restart")
    assert (parent_of(int(solver)), failure) == (program.server, [])


def test_the_server_has_one_thread_and_none_of_the_loops_rights(program: Program) -> None:
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
