"""bench: what is measured adds up, ratios are of one run, and results can be compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.cli.bench import _print, _print_comparison, _read
from dvp_mpc.cli.output import Output
from dvp_mpc.control.mpc import MPC, MpcSettings
from dvp_mpc.learning.settings import Sampling
from dvp_mpc.models import load_model
from dvp_mpc.studies.bench import report
from dvp_mpc.studies.bench.report import equal_cost, growth, rows
from dvp_mpc.studies.bench.throughput import _bare_seconds, training_steps
from dvp_mpc.studies.bench.ticks import STAGES, Stages, Times, record, tick_times
from dvp_mpc.value import ValueFunction

SMALL = [
    "--nodes",
    "1",
    "10",
    "--equal-nodes",
    "--ticks",
    "12",
    "--motions",
    "1",
    "--seconds",
    "0.2",
    "--problems",
    "20",
]


def test_the_command_reports_every_key_and_compares(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", "--out", str(tmp_path), *SMALL]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found == json.loads((tmp_path / "bench.json").read_text())
    assert {"machine", "rows", "loop", "labels", "cold_start_s", "peak_memory_mb"} <= found.keys()
    assert {(row["nodes"], row["terminal"]) for row in found["rows"]} == {
        (n, name) for n in (1, 10) for name in ("value", "riccati", "zero")
    }
    for row in found["rows"]:
        assert row["tick_ms"].keys() == {"p50", "p99", "p999", "max"}
        assert tuple(row["stages"]) == STAGES
        assert row["terminal"] != "zero" or row["ratio_native"] == 1.0
    assert [row["rate_hz"] for row in found["loop"]] == [200, 500, 1000]
    for row in found["loop"]:
        assert row["ticks"] == round(0.2 * row["rate_hz"])
        assert row["rejected_plans"] == 0
    labels = found["labels"]
    assert labels["ratio_bare"] == pytest.approx(labels["per_second_one_core"] / labels["bare_per_second_one_core"])
    assert found["cold_start_s"] > 0
    with Output(json_only=False) as output:
        _print(output, found)
        _print_comparison(output, found, _read(tmp_path / "bench.json"))
    people = capfd.readouterr().out
    assert "p50 now / then" in people
    assert "state to torque in real time" in people


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nodes", "0"], "nodes = 0"),
        (["--nodes", "1", "--equal-nodes", "2"], "equal_nodes"),
        (["--ticks", "0"], "ticks = 0"),
        (["--seconds", "0"], "seconds = 0"),
        (["--problems", "0"], "problems = 0"),
        (["--steps", "-1"], "steps = -1"),
        (["--compare", "/no/such.json"], "/no/such.json is no result"),
    ],
)
def test_bad_input_is_refused_at_once(
    flags: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    defaults = [] if "--equal-nodes" in flags or "--nodes" not in flags else ["--equal-nodes"]
    assert main(["bench", "--out", str(tmp_path), *flags, *defaults]) == 2
    assert words in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rows_take_ratios_from_the_same_horizon() -> None:
    times = {
        (1, "value"): Times(np.array([2e-3, 2e-3, 6e-3]), {}),
        (1, "zero"): Times(np.array([1e-3, 1e-3, 1e-3]), {}),
        (5, "value"): Times(np.array([3e-3] * 3), {}),
        (5, "zero"): Times(np.array([2e-3] * 3), {}),
    }
    found = {(row["nodes"], row["terminal"]): row for row in rows(times)}
    assert found[1, "value"]["ratio_native"] == 2.0
    assert found[5, "value"]["ratio_native"] == 1.5
    assert found[1, "value"]["misses"] == {"200": 1, "500": 1, "1000": 3}
    assert growth(times)["zero"]["per_node_ms"] == pytest.approx(0.25)


def test_a_tick_taken_apart_makes_the_step_that_a_tick_makes() -> None:
    task, value, _ = load_model("panda_reach")
    motion = record(task, value, seed=1, i=0, ticks=6)
    mpc = MPC(task, motion.goal, value, MpcSettings(3, again_above=np.inf))
    stages = Stages(task, motion.goal, value, 3)
    for k in range(4):
        plan = mpc.plan(motion.x[k], task.dt)
    parts = stages(plan, motion, 3)
    after = mpc.plan(motion.x[4], task.dt)
    assert set(parts) == set(STAGES)
    u = np.array(stages._solver.us[0]) - np.array(stages._solver.k[0])  # the full step, at a state that it leaves alone
    np.testing.assert_allclose(u, after.solution.us[0], atol=1e-9)
    assert np.abs(stages._solver.k[0]).max() > 1e-3, "a step that moves nothing shows nothing"


def test_every_variant_sees_every_state() -> None:
    task, value, _ = load_model("panda_reach")
    times = tick_times(task, {"value": value, "zero": None}, [(1, "value"), (2, "zero")], 3, motions=2, ticks=5)
    assert {variant: len(t.tick) for variant, t in times.items()} == {(1, "value"): 8, (2, "zero"): 8}


def test_equal_cost_finds_the_shortest_horizon_that_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    task, value, _ = load_model("panda_reach")
    monkeypatch.setattr(report, "LONG_HORIZONS", (5, 20, 40))

    def search(terminal: ValueFunction | None, nodes: tuple[int, ...]) -> dict[int, tuple[float, int | None, float]]:
        return equal_cost(task, terminal, nodes, 1, 0, 1, lambda what, done, total: None)

    assert search(value, ()) == {}
    loss, shortest, zero_loss = search(value, (1,))[1]
    assert loss < 0.01 < zero_loss
    assert shortest is None
    loss, shortest, zero_loss = search(None, (20,))[20]  # zero against zero
    assert shortest == 20
    assert loss == zero_loss


def test_bare_calls_solve_the_problems_of_the_chunk() -> None:
    task, value, _ = load_model("panda_reach")
    assert _bare_seconds(task, value, Sampling(problems=1, horizon=5, nodes=(0,)), [1, 2], 1) > 0


def test_training_steps_are_timed() -> None:
    task, value, _ = load_model("panda_reach")
    found = training_steps(task, value, 1, 1)
    assert found is not None
    assert np.isfinite(found["steps_per_second"])  # of one step beside other processes, any number
    assert training_steps(task, value, 1, 0) is None
