"""descent, where the answer is known: of the exact value it holds with equality, of wrong ones it fails by what they lack."""

import numpy as np
import pytest
from scipy.stats import binom

from dvp_mpc.models import load_model
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.studies.descent import EPS, TIGHT, clopper_pearson_lower, descent
from dvp_mpc.value import BoundValue, GoalFrame, RiccatiValue

SEED = 557  # of no other study


class Scaled:
    """c V of the exact value, or of none where c is negative: it drives the state off."""

    def __init__(self, scale: float):
        self.scale = scale

    def at(self, goal: GoalFrame) -> "Scaled":
        self.bound: BoundValue = RiccatiValue().at(goal)
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return self.scale * self.bound.cost(x, t)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Vx, Vxx = self.bound.derivatives(x, t, Jt)
        return self.scale * Vx, abs(self.scale) * Vxx


@pytest.mark.parametrize(("held", "of"), [(1, 10), (990, 1000), (9950, 10_000), (10_000, 10_000)])
def test_lower_bound_is_the_share_that_gives_so_many_one_time_in_twenty(held: int, of: int) -> None:
    bound = clopper_pearson_lower(held, of)
    assert binom.sf(held - 1, of, bound) == pytest.approx(0.05, rel=1e-6)
    assert bound < held / of


def test_no_success_bounds_nothing() -> None:
    assert clopper_pearson_lower(0, 10) == 0


def test_exact_value_falls_by_exactly_what_is_paid(linear: LinearTask) -> None:
    found = descent(linear, RiccatiValue(), 60, SEED, jobs=1)
    assert (found.states, found.held, found.share, found.tight, found.falls) == (60, 60, 1, 1, 1)
    assert found.slack_p99 is not None
    assert abs(found.slack_p99) < 1e-6
    assert found.bound == pytest.approx(0.05 ** (1 / 60))


@pytest.mark.parametrize(("scale", "passes"), [(0.5, False), (1.02, True)])
def test_a_value_that_promises_too_little_fails(linear: LinearTask, scale: float, passes: bool) -> None:
    """Half the value falls by half of what is paid; a little too much of it falls by more."""
    found = descent(linear, Scaled(scale), 60, SEED, jobs=1)
    assert found.share == float(passes)
    assert found.falls == 1


def test_a_value_that_drives_the_state_off_fails(linear: LinearTask) -> None:
    assert descent(linear, Scaled(-1.0), 20, SEED, jobs=1).share == 0


def test_states_do_not_depend_on_the_number_of_processes(linear: LinearTask) -> None:
    one, two = (descent(linear, Scaled(0.9), 120, SEED, jobs=jobs) for jobs in (1, 2))
    assert one._replace(slack_p99=0) == two._replace(slack_p99=0)
    assert one.slack_p99 == pytest.approx(two.slack_p99)


def test_shipped_value_and_what_the_riccati_value_lacks() -> None:
    """200 states: too few for the bar, enough to tell a value that falls from one that does not."""
    task, value, _ = load_model("panda_reach")
    learned = descent(task, value, 200, SEED, jobs=1)
    assert learned.share >= 0.99
    assert learned.falls == 1
    assert descent(task, RiccatiValue(), 100, SEED, jobs=1).share < 0.95
    assert 0 < TIGHT < EPS < 1
