"""The loop with faults: what it passes on, what it records, and that the table judges as it says."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.errors import BadSetting, UnknownChoice

pytest.importorskip("pybullet")
from dvp_mpc_sim.fault_rows_controller import any_torque, bad_goal
from dvp_mpc_sim.fault_table import Bound, Row, choose, rows, run_table
from dvp_mpc_sim.faulty_loop import HoldsLast
from dvp_mpc_sim.record import Record
from dvp_mpc_sim.scenario import ARMED, PERIOD, Scenario, holds, one_fault

SCENE = Scenario(3, duration=1.6)


@pytest.fixture(scope="module")
def clean() -> Record:
    return SCENE.clean()


def test_a_healthy_run_arms_tracks_and_keeps_the_invariant(clean: Record) -> None:
    assert clean.states(0.0, 0.1) == {"arming"}
    assert clean.states(ARMED) == {"tracking"}
    assert set(clean.mode.tolist()) == {"follow"}
    assert clean.violations(SCENE.task.arm) == 0
    assert clean.refused == Counter()
    assert clean.ticked.sum() == len(clean.reads) == round(SCENE.duration / PERIOD)
    np.testing.assert_array_equal(clean.applied[clean.published], clean.commanded[clean.published])


def test_a_run_is_a_function_of_its_seed(clean: Record) -> None:
    again, other = SCENE.run(), Scenario(4, duration=1.6).run()
    np.testing.assert_array_equal(again.commanded, clean.commanded)
    assert np.abs(other.commanded - clean.commanded).max() > 0.1


def test_the_order_of_names_does_not_matter(clean: Record) -> None:
    turned = SCENE.run(names=SCENE.task.arm.joint_names[::-1])
    np.testing.assert_array_equal(turned.commanded, clean.commanded)


def test_a_dead_stream_holds_then_faults_then_is_silent_and_the_watchdog_takes_over() -> None:
    run = SCENE.run(plan=one_fault(0, "off", start=1.0))
    assert 1.0 < run.first("hold") <= 1.025
    assert run.first("hold") < run.first("fault") <= 1.205
    assert not run.published[run.t > 1.25].any()
    assert set(run.mode[run.t > 1.25].tolist()) == {"brake"}
    assert run.stopped(1.0) <= 1.5


def test_a_stopped_process_publishes_nothing_and_the_plant_brakes() -> None:
    run = replace(SCENE, duration=2.0).run(stopped=[(1.0, 1.2)])
    assert not run.ticked[(run.t >= 1.0) & (run.t < 1.2)].any()
    assert run.mode[run.t.searchsorted(1.03)] == "brake"
    assert run.first(["tracking", "degraded"], 1.2) > run.first("arming", 1.2)
    unguarded = replace(SCENE, follower=HoldsLast).run(stopped=[(1.0, np.inf)])
    assert unguarded.travel(1.0) > 10 * SCENE.run(stopped=[(1.0, np.inf)]).travel(1.0)


def test_a_foreign_clock_is_no_state() -> None:
    run = SCENE.run(plant_clock=lambda t: 1.7e9 + t + 3600.0 * (t >= 1.0))
    assert run.first("hold") <= 1.025
    assert run.refused["stamp in the future"] > 50


@pytest.mark.parametrize("how", ["nan", "raise"])
def test_the_solver_fails_and_comes_back(how: str) -> None:
    scene = replace(SCENE, solver_faults=one_fault(0, "solver", start=1.0, duration=0.1, how=how))
    run, controller, _ = scene.watched()
    assert 1.0 < run.first("hold") <= 1.025
    assert run.first("tracking", 1.1) <= 1.2
    assert sum(controller.statistics.rejected.values()) >= 15


def test_a_hanging_solver_is_a_fault() -> None:
    run = SCENE.run(stalls=[(1.0, np.inf)])
    assert run.first("hold") <= 1.025
    assert 1.15 < run.first("fault") <= 1.25
    assert run.stopped(1.0) <= 1.5


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("off", {}), ("stuck", {}), ("nan", {}), ("jump", {"by": 0.3}), ("noise", {}), ("intermittent", {"loss": 0.3})],
)
def test_the_observer_learns_nothing_dangerous_from_a_bad_stream(kind: str, parameters: dict[str, float]) -> None:
    """What it takes for a disturbance is garbage then; the arm is held all the same, and tracks as before afterwards."""
    plain, observed = (
        replace(SCENE, duration=5.0, settings={"offset_free": on}).run(
            plan=one_fault(1, kind, start=1.0, duration=0.15, **parameters)
        )
        for on in (False, True)
    )
    assert observed.violations(SCENE.task.arm) == 0
    assert observed.states() == plain.states()
    assert np.abs(observed.v).max() < 1.05 * np.abs(plain.v).max()
    assert observed.tool_error()[-1] < plain.tool_error()[-1] + 5e-3  # a stuck sensor is a fault, and ends far away


def test_noise_is_no_alarm() -> None:
    assert holds(SCENE.run(plan=one_fault(1, "noise"))) == 0


def test_a_refused_request_is_counted() -> None:
    run = SCENE.run(events={0.9: lambda controller: controller.set_goal(np.array([9.0, 0, 0]))})
    assert run.refused_events == {"GoalError": 1}
    assert run.states(ARMED) == {"tracking"}


@pytest.mark.parametrize(
    ("row", "change"),
    [(200, np.nan), (205, 90.0), (210, "outward"), (215, "step")],
    ids=["not finite", "beyond the limit", "outward at a limit", "too fast"],
)
def test_violations_are_found(clean: Record, row: int, change: float | str) -> None:
    arm, torque, q = SCENE.task.arm, clean.commanded.copy(), clean.q.copy()
    last = slice(row, row + 5)
    if change == "outward":
        q[last, 3] = arm.upper[3] + 0.001
        carrying = arm.nonlinear_effects(q[row], clean.v[row])[3]
        torque[:, 3] = carrying + 1.0
    elif change == "step":
        torque[row:, 0] += 6.0
    else:
        torque[last, 0] = change
    assert replace(clean, commanded=torque, q=q).violations(arm) >= 1


def test_a_bound_is_kept_or_not() -> None:
    trials = [{"a": 1.0, "n": 4.0}, {"a": 3.0, "n": 6.0}]
    assert [Bound("a", how).measure(trials) for how in ("max", "min", "sum", "mean")] == [3, 1, 4, 2]
    assert Bound("a", per="n").measure(trials) == 0.4
    assert Bound("a", most=3).holds(3.0)
    assert not Bound("a", most=3).holds(3.1)
    assert not Bound("a", least=3).holds(float("inf")), "what never came keeps no bound"
    assert not Bound("a", most=3).holds(float("nan"))
    assert Bound("a").holds(float("inf"))


def test_a_row_fails_by_a_violation_a_control_that_does_not_track_and_an_exception() -> None:
    def row(**numbers: float) -> Row:
        return Row("F1", "", "", lambda seed: dict(numbers), (Bound("x", most=1),), 2, 1)

    assert row(x=1.0, violations=0.0, control=0.0).result(0, [{"x": 1.0, "violations": 0.0, "control": 0.0}])["pass"]
    for bad in ({"x": 2.0}, {"x": 0.0, "violations": 1.0}, {"x": 0.0, "control": 1.0}):
        assert not row().result(0, [bad])["pass"]
    raising = Row("F2", "", "", _raises, (Bound("x", most=1),), 2, 2)
    results = [result for _, result in run_table([raising], jobs=1) if result is not None]
    assert not results[0]["pass"]
    assert "2 of 2 trials raised: ValueError: on purpose" in results[0]["measured"]


def _raises(seed: int) -> dict[str, float]:
    raise ValueError("on purpose")


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    table = rows()
    assert [row.fault for row in choose(["F20", "F2"], table)] == ["F2", "F20"]
    assert len(choose([], table)) == len(table)
    with pytest.raises(UnknownChoice, match="unknown row 'F99'; valid choices: F1, F2"):
        choose(["F99"], table)
    with pytest.raises(BadSetting, match="seed"):
        next(run_table(choose(["F1"], table), seed=-1))


def test_trials_without_a_plant() -> None:
    assert any_torque(1)["violations"] == 0
    assert bad_goal(1) == {"asked": 100, "taken": 0, "changed": 0, "silent": 0}


def test_the_command_prints_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["faults", "--rows", "F30", "F1", "F16", "--quick", "--json"])
    report = json.loads(capfd.readouterr().out)
    assert [row["fault"] for row in report["rows"]] == ["F1", "F16", "F30"]
    for row in report["rows"]:
        assert {"fault", "seed", "trials", "expected", "measured", "pass"} <= row.keys()
        assert row["pass"], row["measured"]
    assert report["not_run"] == []
    assert code == 0


@pytest.mark.parametrize("flags", [["--rows", "F99"], ["--seed", "-1", "--rows", "F30"], ["--jobs", "0"]])
def test_bad_flags_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", *flags]) == 2
    assert "dvp-mpc:" in capsys.readouterr().err


@pytest.mark.parametrize(("rows", "found"), [(3, 1), (8, 0)], ids=["15 ms", "40 ms"])
def test_a_torque_begins_anew_after_a_silence_that_a_driver_does_not_wait(clean: Record, rows: int, found: int) -> None:
    """A step behind a gap: within 20 ms the driver still holds the torque before, later it brakes by itself."""
    torque, published = clean.commanded.copy(), clean.published.copy()
    published[200:] = False
    at = np.flatnonzero(clean.published)
    at = at[at >= 200]
    published[at[rows - 1 :]] = True
    torque[at[rows - 1] :, 0] += 6.0
    assert replace(clean, commanded=torque, published=published).violations(SCENE.task.arm) == found
