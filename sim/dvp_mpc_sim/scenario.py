"""Scenario: one arm, one start at rest, goals and a controller as the node makes it, all drawn from a seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.control.planner import Solver
from dvp_mpc.control.supervisor import AGE_LIMIT
from dvp_mpc.faults import FailingValue, FaultPlan
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.value import Value
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.faulty_loop import FaultyLoop, Follower
from dvp_mpc_sim.planner import SimulatedPlanner
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.watchdog import Watchdog

FAULTS = 401  # first word of the seed; training, evaluation and simulation have others
PERIOD = 0.005  # [s] of the node
ARMED = 0.75  # [s] a healthy run tracks from here on: 20 plans and 0.5 s of blending
HOLDING = ("hold", "fault")
MOVING = {"tracking", "degraded"}
LATEST_HOLD = AGE_LIMIT + PERIOD  # [s]
OUTSIDE = "outside the region"  # how the controller's reason begins when the value is not trusted
FAST = 0.35  # [rad/s] of the fastest joint: what counts as moving


@lru_cache(maxsize=1)
def model() -> tuple[ReachTask, Value]:
    """The shipped value and its task, loaded once in each process."""
    task, value, _ = load_model(DEFAULT_MODEL)
    return task, value


@dataclass(frozen=True)
class Scenario:
    """A run that can be repeated with and without a fault. Everything not said is drawn from the seed."""

    seed: int
    duration: float = 2.5
    """[s]"""
    start: np.ndarray | None = None
    """(14,) [rad, rad/s]; unset: at rest, in the box that the value is trusted on."""
    arming: bool = True
    goal_every: float = np.inf
    """A new goal each so often [s]."""
    far: float = 0.25
    """Goals at least this far from where the tool begins [m]: a fault is to meet an arm that moves."""
    solver_faults: FaultPlan = field(default_factory=FaultPlan)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ControllerSettings."""
    follower: Callable[[], Follower] | None = None
    """In place of the watchdog."""

    @property
    def task(self) -> ReachTask:
        return model()[0]

    @cached_property
    def rng(self) -> np.random.Generator:
        """For what a row draws; start and goals have a generator of their own, so that they do not depend on it."""
        return np.random.default_rng([FAULTS, self.seed, 1])

    @cached_property
    def x0(self) -> np.ndarray:
        """(14,) [rad, rad/s]."""
        if self.start is not None:
            return self.start
        x0 = sample_starts(self.task, np.random.default_rng([FAULTS, self.seed]), 1)[0]
        x0[DOF:] = 0.0
        return x0

    @cached_property
    def goals(self) -> list[np.ndarray]:
        """One after the other: (3,) [m] each."""
        rng, last, goals = np.random.default_rng([FAULTS, self.seed, 2]), self.task.tool(self.x0), []
        for _ in range(1 if np.isinf(self.goal_every) else int(np.ceil(self.duration / self.goal_every))):
            for _ in range(100):
                goal = self.task.sample_goal(rng).tool
                if np.linalg.norm(goal - last) > self.far:
                    break
            goals.append(goal)
            last = goal
        return goals

    def clean(self) -> Record:
        """The same run without any fault. Rows share it: it depends on nothing but these."""
        return _clean(self.seed, self.duration, self.goal_every, self.far)

    def run(
        self, loop: FaultyLoop | None = None, stalls: list[tuple[float, float]] | None = None, **more: Any
    ) -> Record:
        """Close the loop; stalls: of the planner [s]. more: in place of fields of the loop."""
        return self.watched(loop, stalls, **more)[0]

    def watched(
        self,
        loop: FaultyLoop | None = None,
        stalls: list[tuple[float, float]] | None = None,
        at_step: Callable[[float, SimulatedPlanner], None] | None = None,
        **more: Any,
    ) -> tuple[Record, Controller, SimulatedPlanner]:
        """`run`, with what ran. at_step(t, planner): before each plant step."""
        task, value = model()
        now = [0.0]
        settings = ControllerSettings(MpcSettings(10), rate_hz=1 / PERIOD, plan_hz=1 / PERIOD, arming=self.arming)
        settings = replace(settings, **self.settings)
        goal = task.goal(self.goals[0])
        terminal = FailingValue(value, self.solver_faults, lambda: now[0])
        planner = SimulatedPlanner(Solver(task, goal, terminal, settings.mpc, lambda: 0.0), lambda: now[0])
        planner.stalls = list(stalls or [])
        controller = Controller(task, terminal, goal.tool, settings, clock=lambda: 0.0, planner=planner)
        follower: Follower = Watchdog(task.arm) if self.follower is None else self.follower()
        loop = replace(loop or FaultyLoop(), **more)
        times = [k * self.goal_every for k in range(1, len(self.goals))]
        events = dict(loop.events)
        for t, point in zip(times, self.goals[1:], strict=True):
            events[t] = partial(_aim, point)

        def on_step(t: float) -> None:
            now[0] = t
            if at_step is not None:
                at_step(t, planner)

        with BulletPlant(task.arm) as plant:
            record = replace(loop, events=events).run(
                plant, controller, follower, self.duration, self.x0[:DOF], self.x0[DOF:], on_step
            )
        return record, controller, planner

    def moving_at(self, record: Record, *, fastest: bool = False) -> float:
        """A time at which the arm of a healthy run moves, a second before its end or earlier: [s], on the grid of the plant.

        fastest: when it moves at its fastest; else drawn.
        """
        begin = ARMED + 0.05
        speed = np.abs(record.v).max(axis=1) * ((record.t > begin) & (record.t < self.duration - 1.0))
        rows = np.flatnonzero(speed > FAST)
        if len(rows) == 0:
            return begin
        return float(record.t[speed.argmax() if fastest else self.rng.choice(rows)])


@lru_cache(maxsize=64)
def _clean(seed: int, duration: float, goal_every: float, far: float) -> Record:
    return Scenario(seed, duration, goal_every=goal_every, far=far).run()


def _aim(point: np.ndarray, controller: Controller) -> None:
    controller.set_goal(point)


def one_fault(seed: int, kind: str, **parameters: Any) -> FaultPlan:
    """A plan of one fault."""
    return FaultPlan.read({"seed": seed, "faults": [{"kind": kind, **parameters}]})


def basis(scene: Scenario, clean: Record | None, *runs: Record) -> dict[str, float]:
    """What every row measures: `violations` of the invariant in all runs, and whether the control did not track.

    Far goals take some arms out of the region that the value is trusted on, fault or no fault: that is DEGRADED, as it
    should be, and how often it happens is F24's to judge.
    """
    every = [run for run in (clean, *runs) if run is not None]
    found = {"violations": float(sum(run.violations(scene.task.arm) for run in every))}
    if clean is None:
        return found
    other = clean.ticked & (clean.t >= ARMED) & (clean.state != "tracking")
    return found | {"control": float(not np.char.startswith(clean.reason[other], OUTSIDE).all())}


def holds(run: Record) -> int:
    """How often the controller entered HOLD or FAULT."""
    bad = np.isin(run.state, HOLDING)
    return int((bad[1:] & ~bad[:-1]).sum() + bad[0])
