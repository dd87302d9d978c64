"""The command line as a user meets it: exit codes, one-line errors, JSON that is nothing but JSON, the whole path."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.models import load_model
from dvp_mpc.presets import PRESETS
from dvp_mpc.studies.validation import Sizes

PROGRAM = Path(sys.executable).with_name("dvp-mpc")
TINY = ["--preset", "panda_reach_tiny", "--dvp.jobs", "2"]


def call(*args: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *args], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `train` has made tiny.safetensors from nothing."""
    folder = tmp_path_factory.mktemp("tiny")
    done = call("train", *TINY, "--model", "tiny.safetensors", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["rows"]) == PRESETS["panda_reach_tiny"].dvp.iterations
    return folder


def test_train_freeze_simulate(tiny: Path) -> None:
    """The whole path in seconds: even this poor value brings the arm nearer than no value does."""
    done = call("simulate", "--model", "tiny.safetensors", "--nodes", "5", "--seed", "3", "--json", cwd=tiny)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    keys = "tool_error_final_m settling_time_s torque_violations rate_violations solve_ms misses rejected cost run_dir"
    assert set(keys.split()) <= report.keys()
    assert set(report["solve_ms"]) == {"p50", "p99", "max"}
    assert report["torque_violations"] == report["rate_violations"] == 0
    assert {"log.npz", "plot.png", "summary.json"} == {p.name for p in (tiny / report["run_dir"]).iterdir()}
    zero = call(
        "simulate", "-m", "tiny.safetensors", "--nodes", "5", "--seed", "3", "--terminal", "zero", "--json", cwd=tiny
    )
    assert report["tool_error_final_m"] < 0.3 * json.loads(zero.stdout)["tool_error_final_m"]
    assert report["cost"] < json.loads(zero.stdout)["cost"]


@pytest.mark.parametrize("loss", ["SOBOLEV", "CLASSICAL"])
def test_the_papers_plain_network_and_losses_train(tmp_path: Path, loss: str) -> None:
    """Its Hessian is indefinite, and the labels of the second iteration inherit that."""
    plain = ["--dvp.net.kind", "FEEDFORWARD", "--dvp.fit.loss", loss, "--dvp.first", "ZERO", "--json"]
    done = call("train", *TINY, *plain, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["card"]["layout"]["kind"] == "feedforward"


def test_evaluate_reports_every_column(tiny: Path) -> None:
    args = ["evaluate", "-m", "tiny.safetensors", "--nodes", "1", "3", "--starts", "2", "--states", "4", "--seed", "9"]
    done = call(*args, "--json", cwd=tiny)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["seed"], report["starts"], len(report["rows"])) == (9, 2, 6)
    assert {(row["nodes"], row["terminal"]) for row in report["rows"]} == {
        (n, t) for n in (1, 3) for t in ("value", "riccati", "zero")
    }
    for row in report["rows"]:
        assert {"suboptimality", "diverged", "tool_error_final_m", "tick_ms"} <= row.keys()
    loss = {(row["nodes"], row["terminal"]): row["suboptimality"]["median"] for row in report["rows"]}
    assert loss[3, "value"] < loss[3, "zero"]
    assert report["value"]["goal_value"] == 0
    assert report["value"]["psd_share"] == 1


def test_inspect_prints_the_card(tiny: Path) -> None:
    card = json.loads(call("inspect", "tiny.safetensors", "--json", cwd=tiny).stdout)
    assert card["task"]["arm"] == "panda"
    assert card["command"].startswith("dvp-mpc train --preset panda_reach_tiny")
    text = call("inspect", "tiny.safetensors", cwd=tiny).stdout
    assert "every check passed" in text
    assert "dvp-mpc validate tiny.safetensors --bars panda_reach" in text  # its own preset has none
    task, _, _ = load_model(tiny / "tiny.safetensors")
    region = card["trust"]["region"]
    np.testing.assert_array_equal(region["lower"], task.region.lower)
    np.testing.assert_array_equal(region["goal_upper"], task.box.goal_upper)
    assert f"{task.region.lower[1]:.3f} to {task.region.upper[1]:.3f}" in text


def test_validate_says_what_failed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The poor value of the tiny preset, judged by bars that nobody set for it, on samples smaller than --quick has."""
    monkeypatch.setattr("dvp_mpc.cli.validate.QUICK", Sizes(starts=2, states=4, descent=20, placed=20, motions=1))
    model = str(tiny / "tiny.safetensors")
    assert main(["validate", model, "--quick", "--loss", "1", "1e-6", "1e-6", "--jobs", "1", "--json"]) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["passed"] is False
    assert (report["bars"], report["quick"], report["sizes"]["starts"]) == ("flags", True, 2)
    rows = {row["name"]: row for row in report["checks"]}
    assert {"loss at N=1, median", "loss at N=1, p95"} <= {name for name, row in rows.items() if not row["passed"]}
    assert rows["file: checks that refuse it"]["passed"]
    assert rows["outside: detected"]["passed"]
    assert rows["loss at N=1, p95"]["bar"] == 1e-6


def test_validate_fails_a_file_that_was_changed(tiny: Path, tmp_path: Path) -> None:
    whole = (tiny / "tiny.safetensors").read_bytes()
    at = len(whole) // 2
    (tmp_path / "changed.safetensors").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    done = call("validate", "changed.safetensors", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED: file" in done.stdout
    (row,) = json.loads(call("validate", "changed.safetensors", "--json", cwd=tmp_path).stdout)["checks"]
    assert "not those that were saved" in row["note"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "--preset", "panda"], ["preset", "'panda'", "panda_reach"]),
        (["train", *TINY, "--arm", "pandas"], ["arm", "'pandas'", "xarm7"]),
        (["train", *TINY, "--tool-frame", "nose"], ["tool frame", "'nose'", "panda_hand_tcp"]),
        (["train", *TINY, "--arm", "nowhere.urdf", "--tool-frame", "x"], ["nowhere.urdf", "no such"]),
        (["train", *TINY, "--dvp.iterations", "0"], ["iterations = 0"]),
        (["train", *TINY, "--dvp.sampling.horizon", "-5"], ["horizon = -5"]),
        (["train", *TINY, "--dt", "nan"], ["dt = nan"]),
        (["train", *TINY, "--out", "/proc/nowhere"], ["/proc/nowhere", "not writable"]),
        (["train", *TINY, "--address", "auto"], ["address = 'auto'", "--backend ray"]),
        (["validate", "missing.safetensors"], ["missing.safetensors", "no such file", "panda_reach"]),
        (
            ["validate", "tiny.safetensors"],
            ["'panda_reach_tiny'", "no bars", "presets with bars: panda_reach", "--loss"],
        ),
        (["validate", "tiny.safetensors", "--bars", "mine"], ["'mine'", "panda_reach"]),
        (["validate", "tiny.safetensors", "--bars", "panda_reach", "--loss", "1", "1", "1"], ["give one of them"]),
        (["validate", "tiny.safetensors", "--loss", "1", "-1", "1"], ["loss", "positive"]),
        (["validate", "tiny.safetensors", "--bars", "panda_reach", "--arm", "xarm7"], ["arm", "panda", "xarm7"]),
        (["validate", "panda_reach", "--seed", "-1"], ["seed = -1"]),
        (["validate", "panda_reach", "--jobs", "0"], ["jobs = 0"]),
        (["simulate", "--model", "missing.safetensors"], ["missing.safetensors", "no such file"]),
        (["simulate", "--model", "notes.txt"], ["notes.txt", "not a safetensors file"]),
        (["simulate", "-m", "tiny.safetensors", "--arm", "xarm7"], ["arm", "panda", "xarm7"]),
        (["simulate", "-m", "tiny.safetensors", "--nodes", "0"], ["nodes = 0"]),
        (["simulate", "-m", "tiny.safetensors", "--nodes", "-3"], ["nodes = -3"]),
        (["simulate", "-m", "tiny.safetensors", "--goal", "2", "0", "0.4"], ["outside the trained box", "1.300"]),
        (["simulate", "-m", "tiny.safetensors", "--goal", "nan", "0", "0.4"], ["goal", "finite"]),
        (["simulate", "-m", "tiny.safetensors", "--terminal", "none"], ["terminal", "riccati"]),
        (["simulate", "-m", "tiny.safetensors", "--disturbance", "kick:3"], ["disturbance", "impulse"]),
        (["simulate", "-m", "tiny.safetensors", "--duration", "0"], ["duration"]),
        (["simulate", "-m", "tiny.safetensors", "--rate-hz", "300", "--plan-hz", "300"], ["rate_hz", "300"]),
        (["simulate", "-m", "tiny.safetensors", "--seed", "-1"], ["seed = -1"]),
        (["simulate", "-m", "tiny.safetensors", "--duration", "nan"], ["duration = nan"]),
        (["simulate", "-m", "tiny.safetensors", "--engine", "gazebo"], ["engine 'gazebo'", "bullet, mujoco"]),
        (["simulate", "-m", "tiny.safetensors", "--engine", "mujoco", "--gui"], ["gui", "--view"]),
        (["simulate", "-m", "tiny.safetensors", "--link", "tail"], ["'tail'", "panda_link4"]),
        (["simulate", "-m", "tiny.safetensors", "--payload", "-1"], ["payload", "-1"]),
        (["train", *TINY, "--weights.tool", "-5"], ["weights.tool = -5"]),
        (["train", *TINY, "--box.speed", "-1"], ["box.speed = -1"]),
        (["train", *TINY, "--box.goal-lower", "2", "2", "2"], ["box.goal_lower", "goal_upper"]),
        (["train", *TINY, "--dvp.sampling.starts.near", "5"], ["starts.near = 5"]),
        (["train", *TINY, "--dvp.fit.rate", "nan"], ["fit.rate = nan"]),
        (["train", *TINY, "--dvp.net.residuals", "3", "--out", "narrow"], ["residuals"]),
        (["train", *TINY, "--model", "."], ["is a folder"]),
        (["evaluate", "-m", "tiny.safetensors", "--starts", "0"], ["starts = 0"]),
        (["evaluate", "-m", "tiny.safetensors", "--nodes", "5", "-1"], ["nodes = -1"]),
        (["inspect", "nothing"], ["nothing", "shipped"]),
        (["fly"], ["fly", "simulate"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    tiny: Path, args: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tiny / "notes.txt").write_text("no value")
    monkeypatch.chdir(tiny)
    try:
        code = main(args)
    except SystemExit as exit:  # the parser's way
        code = int(str(exit.code))
    out, err = capfd.readouterr()
    assert code == 2, err
    for word in words:
        assert word in err + out
    if args[0] != "fly":  # the parser's own message is a box
        assert len([line for line in err.splitlines() if line.startswith("dvp-mpc:")]) == 1


def test_ray_backend_without_ray_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "dvp_mpc.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # as on a machine that lacks it
    assert main(["train", *TINY, "--backend", "ray", "--out", str(tmp_path)]) == 2
    assert "needs the extra 'ray' (pip install '.[ray]')" in capfd.readouterr().err


def test_error_reaches_the_shell_as_exit_code_without_traceback(tiny: Path) -> None:
    done = call("simulate", "--model", "missing.safetensors", cwd=tiny)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


def test_error_with_json_leaves_standard_output_empty(tiny: Path) -> None:
    done = call("simulate", "-m", "tiny.safetensors", "--nodes", "0", "--json", cwd=tiny)
    assert (done.returncode, done.stdout) == (2, "")


def test_interrupted_training_goes_on_and_ends_the_same(tiny: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [PROGRAM, "train", *TINY, "--model", "again.safetensors"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    first = tmp_path / "runs/train/panda_reach_tiny/iteration0/fitted.npz"
    until = time.monotonic() + 120
    while not first.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert first.exists()
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: to the workers too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "again.safetensors").exists()
    stamp = first.stat().st_mtime_ns
    assert call("train", *TINY, "--model", "again.safetensors", cwd=tmp_path).returncode == 0
    assert first.stat().st_mtime_ns == stamp
    same, other = (
        load_model(folder / name)[1] for folder, name in ((tiny, "tiny.safetensors"), (tmp_path, "again.safetensors"))
    )
    for name, weights in same.weights.items():
        np.testing.assert_array_equal(weights, other.weights[name])


def test_folder_of_another_run_is_refused(tiny: Path) -> None:
    done = call("train", *TINY, "--dvp.seed", "5", cwd=tiny)
    assert done.returncode == 2
    assert "another task or other settings" in done.stderr
