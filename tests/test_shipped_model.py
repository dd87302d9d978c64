"""The shipped value: sound, made by its own command, and as good as the README says. The bars are for unseen states."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.loop import simulate

import dvp_mpc
from dvp_mpc.bars import find_bars
from dvp_mpc.cli import main
from dvp_mpc.control.controller import Controller, ControllerSettings
from dvp_mpc.control.mpc import MpcSettings
from dvp_mpc.disturbance import parse_disturbance
from dvp_mpc.models import load_model, models_folder
from dvp_mpc.presets import PANDA_REACH
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.studies.evaluation import close_loop, closed_loops, evaluate, make_case

SEED = 555  # of no other study
BARS = find_bars("panda_reach").loss  # nodes: median, p95 above the optimum


@pytest.mark.parametrize("file", sorted(models_folder().glob("*.safetensors")), ids=lambda file: file.stem)
def test_every_shipped_model_passes_the_release_gate(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["validate", str(file), "--quick", "--json"])
    report = json.loads(capfd.readouterr().out)
    failed = [row for row in report["checks"] if not row["passed"]]
    assert (code, failed, report["passed"]) == (0, [], True)
    assert report["bars"] == load_model(file)[2]["training"]["preset"]


def test_it_was_made_by_its_own_preset() -> None:
    task, _, card = load_model("panda_reach")
    assert task.digest == PANDA_REACH.task().digest
    assert "train --preset panda_reach " in card["command"]
    settings = PANDA_REACH.dvp
    assert card["training"]["settings"]["sampling"]["problems"] == settings.sampling.problems
    assert card["training"]["settings"]["fit"]["steps"] == settings.fit.steps


def test_closed_loop_on_a_few_unseen_starts() -> None:
    """Far too few for the medians of the README, enough to see a value that does not control."""
    task, value, _ = load_model("panda_reach")
    outcomes = closed_loops(task, value, (1, 10), starts=4, seed=SEED, jobs=2)
    for n in (1, 10):
        losses = np.array([case[n, "value"].suboptimality for case in outcomes])
        baseline = np.array([case[n, "riccati"].suboptimality for case in outcomes])
        assert (losses > -1e-4).all()  # below the optimum only by its tolerance
        assert np.median(losses) < 5 * BARS[n][0]
        assert np.median(losses) < np.median(baseline) / 5


def test_a_second_step_is_taken_where_one_is_not_enough() -> None:
    """The worst of a hundred starts: joints run along their velocity limits, and the barrier's kink with the horizon."""
    task, value, _ = load_model("panda_brisk")
    case = make_case(task, seed=2026, i=19)
    one, two = (close_loop(task, case, value, MpcSettings(2, again_above=limit)) for limit in (np.inf, 0.02))
    assert one.suboptimality > 0.02
    assert two.suboptimality < 0.005
    assert two.rejected == 0


@pytest.mark.parametrize("nodes", [2, 10])
def test_it_reaches_in_pybullet_through_a_blow(nodes: int) -> None:
    task, value, _ = load_model("panda_reach")
    rng = np.random.default_rng([SEED, nodes])
    goal, x0 = task.sample_goal(rng), sample_starts(task, rng, 1)[0]
    controller = Controller(task, value, goal.tool, ControllerSettings(MpcSettings(nodes)))
    blow = parse_disturbance("impulse:5@1.5/random", seed=SEED)
    with BulletPlant(task.arm) as plant:
        log = simulate(plant, controller, q0=x0[:7], v0=x0[7:], duration=4.0, goals=goal.tool, disturbances=[blow])
    assert np.linalg.norm(log.impulse) == pytest.approx(5.0, rel=1e-6)
    assert log.tool_error_final_m < 1e-3
    assert log.torque_violations(task.arm) == log.rate_violations == 0


def test_a_fast_start_is_kept_within_limits_by_two_nodes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A torque has to swing by 40 N m, twice what two nodes see: with these alone a joint goes 20 % above its speed limit."""
    start = ["simulate", "--model", "panda_workspace", "--nodes", "2", "--seed", "144", "--duration", "0.3"]
    assert main([*start, "--out", str(tmp_path), "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["states"] == {"tracking": 300}
    assert report["position_violations"] == report["velocity_violations"] == 0


def test_a_plain_wheel_carries_the_model_and_the_simulator(tmp_path: Path) -> None:
    root = Path(dvp_mpc.__file__).parent.parent
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, root]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from dvp_mpc.models import find_model; import dvp_mpc_sim; print(find_model('panda_reach'), dvp_mpc_sim.__file__)"
    # -I keeps the checkout off the path; the editable install's own hook would come after this entry.
    path = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); "
    found = subprocess.run([sys.executable, "-I", "-c", path + code], check=True, capture_output=True, text=True).stdout
    model, package = found.split()
    assert model == str(tmp_path / "site/dvp_mpc/models/panda_reach.safetensors")
    assert package.startswith(str(tmp_path))


@pytest.mark.slow
def test_bars_of_the_figures_table() -> None:
    """100 unseen starts, all horizons: the closed-loop rows and the accuracy of the README's table."""
    task, value, _ = load_model("panda_reach")
    report = evaluate(task, value, (1, 2, 5, 10, 20), starts=100, seed=SEED)
    rows = {(row["nodes"], row["terminal"]): row for row in report["rows"]}
    for n, (median, p95) in BARS.items():
        loss = rows[n, "value"]["suboptimality"]
        assert rows[n, "value"]["diverged"] == 0
        assert (loss["median"], loss["p95"]) < (median, p95)
        assert loss["p95"] < p95
    for n in (1, 2, 5, 10, 20):
        assert rows[n, "value"]["suboptimality"]["median"] < rows[n, "riccati"]["suboptimality"]["median"] / 5
    accuracy = report["value"]
    assert accuracy["policy_gradient_error"] < 2e-4
    assert accuracy["rel_error_median"] < 0.01
    assert accuracy["gradient_error_median"] < 0.05
    assert (accuracy["psd_share"], accuracy["goal_value"]) == (1.0, 0.0)
