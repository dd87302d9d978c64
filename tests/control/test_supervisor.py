"""The safety states: every transition, and what never happens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvp_mpc.control.supervisor import BLEND, CLEAR, LOST, PROVEN, RECOVERIES, Facts, State, Supervisor

DT = 0.005
GOOD = Facts(age=0.001, plan_age=0.005, plan_limit=0.02, plans=0, fastest=0.0)


class Run:
    """Feeds a supervisor at 200 Hz; one plan is accepted in each step unless plans=False."""

    def __init__(self, armed: bool = True):
        self.machine, self.plans = Supervisor(armed=armed), 0

    def __call__(self, seconds: float, *, plans: bool = True, **facts: float | str) -> State:
        for _ in range(round(seconds / DT)):
            self.plans += plans
            self.machine(DT, GOOD._replace(plans=self.plans, **facts))
        return self.machine.state


@pytest.fixture
def run() -> Run:
    return Run()


def test_arming_proves_plans_under_hold_and_then_blends() -> None:
    run = Run(armed=False)
    assert run(PROVEN * DT) is State.ARMING
    assert run.machine.blend == 0
    run(BLEND / 2)
    assert run.machine.blend == pytest.approx(0.5, abs=0.02)
    assert run(BLEND / 2 - 3 * DT) is State.ARMING
    assert run(4 * DT) is State.TRACKING
    assert run.machine.blend == 1


def test_an_arm_that_moves_while_hold_should_keep_it_still_is_a_fault() -> None:
    run = Run(armed=False)
    run(0.05)
    assert run(DT, fastest=0.2) is State.FAULT
    assert "gravity convention" in run.machine.reason


def test_without_plans_arming_waits_under_hold() -> None:
    run = Run(armed=False)
    assert run(5.0, plans=False, plan_age=np.inf) is State.ARMING
    assert run.machine.blend == 0


def test_a_cause_during_the_blend_holds() -> None:
    run = Run(armed=False)
    run(PROVEN * DT + 0.2)
    assert run(DT, alarm="the state jumped") is State.HOLD
    assert run.machine.blend == 0


def test_degraded_and_back(run: Run) -> None:
    assert run(DT, degraded="no new state") is State.DEGRADED
    assert run.machine.reason == "no new state"
    assert run(DT) is State.TRACKING
    assert run.machine.reason == ""


@pytest.mark.parametrize("facts", [{"age": 0.021}, {"plan_age": 0.021}, {"alarm": "a stuck sensor"}])
def test_hold_at_once(run: Run, facts: dict[str, float | str]) -> None:
    assert run(DT, **facts) is State.HOLD
    assert run.machine.reason


def test_an_old_state_is_a_fault_after_a_while(run: Run) -> None:
    assert run(DT, age=LOST - 0.001) is State.HOLD
    assert run(DT, age=LOST + 0.001) is State.FAULT
    assert run(60) is State.FAULT  # latched


def test_hold_is_left_by_arming_only_when_clear_for_long_enough_and_at_rest(run: Run) -> None:
    run(DT, alarm="the state jumped")
    assert run(CLEAR - 2 * DT) is State.HOLD
    run(DT, age=0.03)  # not clear: from the beginning
    assert run(CLEAR - 2 * DT) is State.HOLD
    assert run(2.0, fastest=0.06) is State.HOLD
    assert run(DT) is State.ARMING
    assert run(PROVEN * DT + BLEND + 3 * DT) is State.TRACKING


def test_a_solver_that_recovers_tracks_again_within_a_tenth_of_a_second_in_motion(run: Run) -> None:
    run(0.3, plan_age=0.05, plans=False, fastest=1.0)
    assert run.machine.state is State.HOLD
    assert run(0.1, fastest=1.0) is State.TRACKING


def test_but_not_when_the_state_was_lost_meanwhile(run: Run) -> None:
    run(0.3, plan_age=0.05, plans=False, fastest=1.0)
    run(DT, age=0.05, fastest=1.0)
    assert run(0.4, fastest=1.0) is State.HOLD


def test_flapping_ends_in_a_fault(run: Run) -> None:
    for _ in range(RECOVERIES):
        run(0.05, plan_age=0.05, plans=False)
        assert run(0.1) is State.TRACKING
    run(0.05, plan_age=0.05, plans=False)
    assert run(0.1) is State.FAULT
    assert "recoveries" in run.machine.reason


def test_rare_failures_are_no_flapping(run: Run) -> None:
    for _ in range(3 * RECOVERIES):
        run(0.05, plan_age=0.05, plans=False)
        assert run(5.0) is State.TRACKING


def test_reset_leads_through_hold_and_arming(run: Run) -> None:
    run.machine.reset()
    assert run.machine.state is not State.HOLD, "there was no fault to leave"
    run(DT, fatal="a second publisher")
    assert run.machine.reason == "a second publisher"
    run.machine.reset()
    assert run.machine.state is State.HOLD
    assert run(CLEAR + DT) is State.ARMING


def test_stopping_stays(run: Run) -> None:
    run.machine.stop()
    assert run.machine.blend == 0
    assert run(60) is State.STOPPING
    assert run(1, fatal="the solver process ended") is State.STOPPING


ANY = st.builds(
    Facts,
    age=st.floats(0, 0.3),
    plan_age=st.floats(0, 0.05),
    plan_limit=st.just(0.02),
    plans=st.integers(0, 1000),
    fastest=st.floats(0, 2),
    degraded=st.sampled_from(["", "", "no new plan"]),
    alarm=st.sampled_from(["", "", "", "the state jumped"]),
    fatal=st.sampled_from([""] * 20 + ["broken"]),
)


@given(st.booleans(), st.lists(ANY, min_size=1, max_size=80))
def test_whatever_happens_the_plan_moves_the_arm_only_on_a_fresh_state_and_a_fresh_plan(
    armed: bool, history: list[Facts]
) -> None:
    machine = Supervisor(armed=armed)
    failed = False
    for facts in history:
        before = machine.blend
        state = machine(DT, facts)
        failed |= state is State.FAULT
        assert not failed or state is State.FAULT
        if machine.blend > 0:
            assert state in (State.ARMING, State.TRACKING, State.DEGRADED)
            assert facts.age <= 0.02 + 1e-5
            assert facts.plan_age <= facts.plan_limit
            assert not facts.alarm
        if state is State.ARMING:
            assert machine.blend <= before + DT / BLEND + 1e-12
        assert state is State.TRACKING or machine.reason
