"""The release gate: what it says of sound values, and that values with one thing wrong do not pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.bars import BARS, Bars, bars_of, find_bars
from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError
from dvp_mpc.models import golden_of, load_model
from dvp_mpc.presets import PRESETS
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.studies.validation import Check, Sizes, validate
from dvp_mpc.value import GoalFrame, RiccatiValue, Value
from dvp_mpc.value_file import load_value, save_value

SEED = 558  # of no other study
SMALL = Sizes(starts=2, states=4, descent=60, placed=50, motions=1)
# Sixty states cannot show 99 % with a confidence of 95 %, and no more than 95 %: the bar for so few.
FEW = replace(find_bars("panda_reach"), loss={1: find_bars("panda_reach").loss[1]}, descent=0.95)


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def test_every_preset_with_bars_exists() -> None:
    assert set(BARS) <= set(PRESETS)


@pytest.mark.parametrize(
    ("measured", "bar", "least", "passed"),
    [
        (0.01, 0.01, False, True),
        (0.0101, 0.01, False, False),
        (0.99, 0.99, True, True),
        (0.98, 0.99, True, False),
        (None, 1.0, False, False),
        (None, 0.0, True, False),
        (float("nan"), 1.0, False, False),
    ],
)
def test_a_check_passes_at_its_bar_and_not_beyond(
    measured: float | None, bar: float, least: bool, passed: bool
) -> None:
    assert Check("", measured, bar, least).passed is passed


def test_the_shipped_value_passes() -> None:
    task, value, _ = load_model("panda_reach")
    checks = validate(task, value, FEW, SMALL, SEED, jobs=1)
    assert failed(checks) == set()
    assert len(checks) == 5 + 3 + 2 * len(FEW.loss) + 1 + 2


def test_a_loop_beyond_a_limit_does_not_pass() -> None:
    task, value, _ = load_model("panda_reach")
    strict = replace(FEW, speed_share=0.1, position_excess=-1.0)
    assert failed(validate(task, value, strict, SMALL, SEED, jobs=1)) == {
        "radians beyond a joint limit, worst",
        "speed / limit after 50 ms, worst",
    }


def test_no_learning_does_not_pass() -> None:
    task, _, _ = load_model("panda_reach")
    found = failed(validate(task, RiccatiValue(), FEW, SMALL, SEED, jobs=1))
    assert {"policy-metric gradient error", "value error, median", "loss at N=1, median", "descent, at least"} <= found
    assert "largest |V(goal)|" not in found


def scaled(value: Value, name: str, factor: float) -> Value:
    return Value(value.layout, value.state_limits, {**value.weights, name: value.weights[name] * factor})


@pytest.mark.parametrize(("name", "factor"), [("W3", 1.5), ("S", -1.0), ("W3", 1e200)])
def test_a_whole_file_with_wrong_weights_does_not_pass(tmp_path: Path, name: str, factor: float) -> None:
    """Saved anew with golden outputs of its own, so that every check of the file passes: only the value is wrong."""
    task, value, card = load_model("panda_reach")
    wrong = scaled(value, name, factor)
    if factor < 1e30:  # more than a file can keep, but not than a program can
        facts = {key: card[key] for key in ("accuracy", "training", "versions", "date", "command")}
        save_value(tmp_path / "wrong.safetensors", wrong, task, golden_of(task), facts)
        wrong, _ = load_value(tmp_path / "wrong.safetensors", task)
    with np.errstate(all="ignore"):
        found = failed(validate(task, wrong, FEW, SMALL, SEED, jobs=1))
    assert found
    assert any("error" in name or "accuracy" in name for name in found)


class Lifted:
    """The value with a constant added: no gradient sees it, and the goal is not free any more."""

    def __init__(self, value: Value):
        self.value = value

    def at(self, goal: GoalFrame) -> "Lifted":
        self.bound = self.value.at(goal)
        return self

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return self.bound.cost(x, t) + 1e-3

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.bound.derivatives(x, t, Jt)


def test_a_goal_that_costs_something_does_not_pass() -> None:
    task, value, _ = load_model("panda_reach")
    assert failed(validate(task, Lifted(value), FEW, SMALL, SEED, jobs=1)) == {"largest |V(goal)|"}


def test_bars_hold_for_the_problem_of_their_preset_only(task: ReachTask) -> None:
    assert bars_of("panda_reach", task) is BARS["panda_reach"]
    with pytest.raises(UsageError, match=r"another arm, cost, box or time step; presets with bars: panda_reach"):
        bars_of("panda_reach", replace(task, dt=0.02))
    for unknown in ("panda_reach_tiny", "mine", None):
        with pytest.raises(UsageError, match=r"has no bars; presets with bars: panda_reach.*--bars.*--loss"):
            bars_of(unknown, task)
    with pytest.raises(UnknownChoice, match="preset with bars 'mine'; valid choices: panda_reach"):
        find_bars("mine")


@pytest.mark.parametrize("loss", [{}, {0: (0.1, 0.1)}, {1: (0.0, 0.1)}, {1: (float("nan"), 0.1)}])
def test_bars_that_are_none(loss: dict[int, tuple[float, float]]) -> None:
    with pytest.raises(BadSetting, match="loss"):
        Bars(loss)


@pytest.mark.parametrize(("seed", "jobs"), [(-1, 1), (0, 0)])
def test_bad_requests(task: ReachTask, seed: int, jobs: int) -> None:
    with pytest.raises(BadSetting):
        validate(task, RiccatiValue(), FEW, SMALL, seed, jobs)


def test_the_other_checks_run_where_one_breaks_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: object) -> Callable[[], None]:
        raise np.linalg.LinAlgError("no eigenvalues")

    monkeypatch.setattr("dvp_mpc.studies.validation.assess", breaks)
    task, value, _ = load_model("panda_reach")
    checks = validate(task, value, FEW, SMALL._replace(starts=1, descent=2), SEED, jobs=1)
    assert "accuracy: could be computed" in failed(checks)
    assert checks[0].note == "no eigenvalues"
    assert len(checks) > 5
