"""A session in motion for a fault to strike, and what can be read from its record afterwards."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dvp_mpc_sim.fault_table import Trial

from dvp_mpc.errors import RunFailed
from dvp_mpc.models import load_model
from dvp_mpc.problem.arm import Arm
from dvp_mpc_ros.demo import count_violations
from dvp_mpc_ros.session import Session

FAULTS = 402  # first word of the seed
PERIOD = 0.005  # [s]
UNDER_WAY = 0.4  # [s] after a goal was sent: the arm is at its fastest


@contextmanager
def tracking(seed: int, *, goal: bool = True, **controller: Any) -> Iterator[tuple[Session, Arm]]:
    """A session in TRACKING; with `goal`, in motion."""
    task, _, _ = load_model("panda_reach")
    rng = np.random.default_rng([FAULTS, seed])
    here = task.arm.tool_in_world(task.arm.home)
    goals = (task.sample_goal(rng).tool for _ in itertools.count())
    far = next(goal for goal in goals if np.linalg.norm(goal - here) > 0.3)
    with tempfile.TemporaryDirectory() as folder, Session(Path(folder), {}, controller) as session:
        session.take_over()
        if goal:
            session.send_goal(far)
            session.spin(UNDER_WAY)
        yield session, task.arm


def judged(session: Session, arm: Arm) -> tuple[dict[str, np.ndarray], Trial]:
    """The plant's record, and the violations in it; ends the session."""
    session.end()
    record = session.record()
    return record, {"violations": float(sum(count_violations(arm, record, PERIOD).values()))}


def transitions(session: Session) -> list[tuple[float, str]]:
    """(monotonic time [s], safety state) of the controller's last changes, by its own clock."""
    seen = session.reports
    if not session.spin_until(lambda: session.reports >= seen + 2, 10.0):  # the next one may have been on its way
        raise RunFailed("the controller gave no diagnostics for 10 s")
    words = [entry.split() for entry in session.figures.get("transitions", "").split(";") if entry.strip()]
    return [(float(at), state) for at, state in words]


def first_after(changes: list[tuple[float, str]], t: float, states: tuple[str, ...]) -> float:
    """Seconds from t to the first change to one of these states; infinite when there is none."""
    return next((at - t for at, state in changes if at >= t and state in states), np.inf)


def stopped_after(record: dict[str, np.ndarray], t: float) -> float:
    """Seconds from t until the arm is at rest for good."""
    late = record["t"] >= t
    moving = np.flatnonzero((np.abs(record["v"][late]) >= 0.05).any(axis=1))
    return float(record["t"][late][moving[-1]] - t) if len(moving) else 0.0


def hand_travel(arm: Arm, record: dict[str, np.ndarray], t: float, until: float) -> float:
    """Length of the tool's way between two times [m]."""
    rows = record["q"][(record["t"] >= t) & (record["t"] <= until)][::5]
    points = np.array([arm.tool_in_world(q) for q in rows])
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
