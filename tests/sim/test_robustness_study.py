"""A study: nothing done is lost or done twice, rows say what their trials say, and what physics demands of a trial holds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvp_mpc_sim.robustness import study
from dvp_mpc_sim.robustness.case import ControllerSpec
from dvp_mpc_sim.robustness.plan import StudyPlan
from dvp_mpc_sim.robustness.study import Unit, curves, rows, run_study, spread, units
from dvp_mpc_sim.robustness.trial import run_trial

from dvp_mpc.cli.main import main
from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice, UsageError

PAYLOAD = {"levels": [0, 2], "disturbances": [{"kind": "payload", "mass": "level"}]}


def plan(**cases: Any) -> StudyPlan:
    return StudyPlan.read("p", {"controllers": ["value 1", "value 1 observer"], "engines": ["mujoco"], "cases": cases})


def trial(success: bool = True, error: float | None = 0.001, violations: int = 0) -> dict[str, Any]:
    lengths = ("peak_deviation_m", "settling_time_s", "final_error_m", "cost_ratio", "peak_torque_share")
    return {
        "success": success,
        **dict.fromkeys((*lengths, "peak_torque_rate", "fast_torque_share"), error),
        "at_rest": success,
        **dict.fromkeys(("violations", "position_violations", "velocity_violations"), violations),
        "states_s": {"tracking": 5.0, "hold": 1.0} if success else {"tracking": 6.0},
        "solve_ms": {"p50": 0.5, "p99": 1.0, "max": 2.0},
        "rejected": 0,
    }


class Counted:
    """In place of run_trial: counts, and can be told to stop as Ctrl-C would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.calls: list[tuple[Any, ...]] = []
        self.stop_at = 10**9
        monkeypatch.setattr(study, "run_trial", self)

    def __call__(self, *args: Any) -> dict[str, Any]:
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(args)
        return trial()


def test_a_study_that_was_stopped_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted, p = Counted(monkeypatch), plan(payload=PAYLOAD)
    counted.stop_at = 5  # in the middle of the third unit of two controllers
    with pytest.raises(KeyboardInterrupt):
        run_study(p, tmp_path, seeds=3, jobs=1)
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"unit": ["mujoco", "pay')  # the line that was being written
    counted.stop_at = 10**9
    seen: list[tuple[int, int]] = []
    trials = run_study(p, tmp_path, seeds=3, jobs=1, progress=lambda done, total: seen.append((done, total)))
    assert len(counted.calls) == 5 + 2 * 4, "the unit that was cut off is run again, and no other"
    assert seen[0] == (2, 6)
    assert seen[-1] == (6, 6)
    assert list(trials) == units(p, 3, 0)
    again = run_study(p, tmp_path, seeds=2, jobs=1)
    assert len(counted.calls) == 13
    assert len(again) == 4, "fewer seeds are part of what is there"


def test_a_folder_holds_one_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Counted(monkeypatch)
    run_study(plan(payload=PAYLOAD), tmp_path, seeds=1, jobs=1)
    with pytest.raises(UsageError, match="study of another plan or model"):
        run_study(plan(payload={**PAYLOAD, "levels": [0, 1]}), tmp_path, seeds=1, jobs=1)
    (tmp_path / "trials.jsonl").write_text("not JSON\n")
    with pytest.raises(UsageError, match=r"trials.jsonl is damaged"):
        run_study(plan(payload=PAYLOAD), tmp_path, seeds=1, jobs=1)


@pytest.mark.parametrize("numbers", [{"seeds": 0}, {"seeds": 1, "first": -1}, {"seeds": 1, "jobs": 0}])
def test_bad_numbers_are_refused(tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        run_study(plan(payload=PAYLOAD), tmp_path, **numbers)


def test_a_link_that_the_arm_does_not_have_is_refused_before_anything_runs(tmp_path: Path) -> None:
    case = {"disturbances": [{"kind": "push", "size": 1, "link": "tail"}]}
    with pytest.raises(UnknownChoice, match=r"cases.c: link 'tail'; valid choices: .*panda_hand"):
        run_study(plan(c=case), tmp_path, seeds=1, jobs=1)


def test_workers_that_keep_dying_end_the_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dying(function: Any, tasks: Any, jobs: int) -> Any:
        for task in tasks:
            yield task, None, RuntimeError("killed")

    monkeypatch.setattr(study, "unordered", dying)
    with pytest.raises(RunFailed, match="died 3 times"):
        run_study(plan(payload=PAYLOAD), tmp_path, seeds=9)


def test_rows_count_and_judge() -> None:
    bars = [
        {"level": 2, "controller": "value 1", "figure": "success", "least": 0.9, "reason": "no integral action"},
        {"level": 2, "controller": "value 1 observer", "figure": "final_error_m", "most": 0.005},
    ]
    p = plan(payload={**PAYLOAD, "bars": bars})
    good = {"value N=1": trial(error=0.004), "value N=1 + observer": trial(error=0.004)}
    bad = {"value N=1": trial(False, None, 3), "value N=1 + observer": trial(error=0.0051)}
    trials = {Unit("mujoco", "payload", level, seed): good for level in (0.0, 2.0) for seed in range(3)}
    trials[Unit("mujoco", "payload", 2.0, 3)] = bad
    found = {(row["level"], row["controller"]): row for row in rows(p, trials)}
    assert len(found) == 4
    calm, loaded, observed = found[0.0, "value N=1"], found[2.0, "value N=1"], found[2.0, "value N=1 + observer"]
    assert (calm["seeds"], calm["success"], calm["violations"], calm["bars"]) == (3, 1.0, 0, [])
    assert (loaded["seeds"], loaded["successes"], loaded["violations"], loaded["rest_share"]) == (4, 3, 3, 0.75)
    assert loaded["success_low"] < 0.75 < loaded["success_high"]
    assert loaded["final_error_m"] == {"median": 0.004, "p95": None, "max": None}
    assert loaded["states_s"] == {"hold": 0.75, "tracking": 5.25}
    assert loaded["bars"] == [
        {"text": "success >= 0.9", "value": 0.75, "pass": False, "reason": "no integral action"},
    ]
    assert [(bar["value"], bar["pass"]) for bar in observed["bars"]] == [(0.0051, False)], "the worst seed judges"


def test_spread_never_hides_an_infinite_one() -> None:
    assert spread([1.0, 2.0, None]) == {"median": 2.0, "p95": None, "max": None}
    assert spread([None, None, 1.0]) == {"median": None, "p95": None, "max": None}


def test_curves_are_percentiles_and_distances_to_the_reference() -> None:
    push = {"curve": True, "disturbances": [{"kind": "push", "size": 5, "start": 1.0, "stop": 2.0}]}
    raw = {"controllers": ["value 1", "zero 100"], "reference": "zero 100", "cases": {"push": push}}
    p = StudyPlan.read("p", raw)
    tool = np.zeros((4, 3))
    trials = {
        Unit("bullet", "push", 0.0, seed): {
            "value N=1": {"error_m": [0.1 * seed] * 4, "tool_m": (tool + [0.3, 0, 0.4]).tolist()},
            "zero N=100": {"error_m": [0.0] * 4, "tool_m": tool.tolist()},
        }
        for seed in range(3)
    }
    errors, _, distance = curves(p, trials)
    assert (errors["case"], errors["controller"], errors["start"], errors["stop"]) == ("push", "value N=1", 1.0, 2.0)
    assert errors["t"] == [0.0, 0.02, 0.04, 0.06]
    assert [errors["p5"][0], errors["p50"][0], errors["p95"][0]] == pytest.approx([0.1, 0.1, 0.2])
    assert distance["controller"] == "value N=1"
    np.testing.assert_allclose(distance["p50"], 0.5)


@pytest.mark.parametrize("engine", ["bullet", "mujoco"])
def test_a_payload_leaves_an_offset_that_the_observer_removes(engine: str) -> None:
    p = plan(payload=PAYLOAD)
    case = p.cases[0]
    plain, observed = (run_trial(p.model, engine, spec, case, 2.0, 7) for spec in p.controllers)
    unloaded = run_trial(p.model, engine, p.controllers[0], case, 0.0, 7)
    assert unloaded["success"]
    assert unloaded["final_error_m"] < 1e-3
    assert 1.0 < unloaded["cost_ratio"] < 1.1  # the first plan is 5 ms late, and torque rises at 1000 N m/s at most
    assert not plain["success"]
    assert plain["final_error_m"] > 0.02
    assert observed["success"]
    assert observed["final_error_m"] < 1e-3
    assert plain["violations"] == observed["violations"] == 0
    assert set(plain["states_s"]) <= {"hold", "tracking", "degraded"}


def test_a_run_that_no_plant_can_carry_is_a_failure_and_no_crash() -> None:
    push = {"kind": "push", "size": 1e4, "start": 0.5, "stop": 1.5}
    p = StudyPlan.read("p", {"controllers": ["value 1"], "cases": {"blow": {"disturbances": [push], "curve": True}}})
    found = run_trial(p.model, "mujoco", ControllerSpec("value", 1), p.cases[0], 0.0, 1)
    assert not found["success"]
    json.dumps(found, allow_nan=False)
    (band,) = curves(p, {Unit("bullet", "blow", 0.0, 1): {"value N=1": found}})
    assert np.isinf(band["p50"]).all()


def test_the_command_runs_reports_and_judges(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    bars = [{"level": 0, "controller": "value 1", "figure": "success", "least": 1}]
    raw: dict[str, Any] = {"controllers": ["value 1"], "engines": ["mujoco"], "cases": {"calm": {"bars": bars}}}
    file.write_text(yaml.safe_dump(raw))
    out = tmp_path / "out"
    assert main(["robustness", str(file), "--seeds", "1", "--jobs", "1", "--out", str(out), "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    (row,) = report["rows"]
    wanted = {"case", "level", "controller", "nodes", "seeds", "success", "success_low", "success_high"}
    wanted |= {"peak_deviation_m", "settling_time_s", "cost_ratio", "violations", "tick_ms"}
    assert wanted <= row.keys()
    assert row["bars"][0]["pass"]
    assert {"report.html", "rows.csv", "success.png", "trials.jsonl"} <= {path.name for path in out.iterdir()}
    bars[0] |= {"figure": "final_error_m", "most": 0.0}
    del bars[0]["least"]
    file.write_text(yaml.safe_dump(raw))
    assert main(["robustness", str(file), "--seeds", "1", "--jobs", "1", "--out", str(tmp_path / "other")]) == 1
    assert "MISSED: mujoco, calm 0, value N=1: final_error_m <= 0" in " ".join(capfd.readouterr().out.split())


def test_a_plan_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robustness", "pandas"]) == 2
    assert "unknown plan 'pandas'; valid choices: figure11, panda, promises, quick" in capsys.readouterr().err


def test_an_interrupted_study_keeps_what_is_done(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    raw = {"controllers": ["value 1"], "engines": ["mujoco"], "cases": {"calm": {}}}
    file.write_text(yaml.safe_dump(raw))
    program = Path(sys.executable).with_name("dvp-mpc")
    command = [str(program), "robustness", str(file), "--seeds", "50", "--jobs", "2", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = tmp_path / "out" / "trials.jsonl"
    until = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") >= 2) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: to the workers too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    done = len(journal.read_text().splitlines())
    assert 2 <= done < 50
    trials = run_study(StudyPlan.load(file), tmp_path / "out", seeds=done, jobs=2)
    assert len(trials) == done
