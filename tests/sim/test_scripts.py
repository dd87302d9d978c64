"""The scripts in sim/, run as a user runs them, small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dvp_mpc.cli.main import main
from dvp_mpc.errors import BadSetting, GoalError, UnknownChoice
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.value import RiccatiValue, Value

pytest.importorskip("pybullet")
pytest.importorskip("meshcat")
pytest.importorskip("mcap_ros2")
from dvp_mpc_sim.episode import start_and_goal, terminal_cost
from dvp_mpc_sim.loop import Log

SIM = Path(__file__).parents[2] / "sim"


def run(script: str, *args: str, cwd: Path) -> str:
    """What the script says."""
    options = {"cwd": cwd, "capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL}
    done = subprocess.run(
        [sys.executable, SIM / script, *args], env=os.environ | {"BROWSER": "true"}, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arm, n = load_arm("panda"), 300
    q = arm.home + np.linspace(0, 0.3, n)[:, None]
    tool = np.array([arm.tool_in_world(posture) for posture in q])
    path = tmp_path_factory.mktemp("logged") / "log.npz"
    Log(np.arange(n) * 1e-3, q, 0 * q, 0 * q, tool, tool + 0.1, np.zeros((n, 6)), control_period=1e-3).save(path)
    return path


def test_push_and_watch(tmp_path: Path) -> None:
    said = run("push_and_watch.py", "--duration", "0.3", "--every", "0.1", "--nodes", "2", cwd=tmp_path)
    assert "wrote runs/push.gif" in said
    assert said.count("knock at") == 2
    with Image.open(tmp_path / "runs" / "push.gif") as film:
        assert (film.format, getattr(film, "n_frames", 1)) == ("GIF", 6)


def test_replay_log(logged: Path, tmp_path: Path) -> None:
    args = [str(logged), "--html", "a/replay.html", "--mcap", "b/log.mcap", "--mcap-hz", "100"]
    said = run("replay_log.py", *args, cwd=tmp_path)
    assert "wrote a/replay.html" in said
    assert "wrote b/log.mcap" in said
    assert "MeshCat.Viewer" in (tmp_path / "a" / "replay.html").read_text()
    assert (tmp_path / "b" / "log.mcap").read_bytes()[:5] == b"\x89MCAP"


def test_replay_log_in_the_browser(logged: Path, tmp_path: Path) -> None:
    assert "open http://127.0.0.1:" in run("replay_log.py", str(logged), cwd=tmp_path)


def test_compare_controllers(tmp_path: Path) -> None:
    args = ["--first", "value", "1", "--second", "riccati", "3", "--duration", "0.2", "--disturbance", "push:5@0.1-0.2"]
    said = run("compare_controllers.py", *args, cwd=tmp_path)
    for words in ("1 nodes + value", "3 nodes + riccati", "tool_error_final_m", "wrote runs/compare.png"):
        assert words in said
    with Image.open(tmp_path / "runs" / "compare.png") as plot:
        assert plot.format == "PNG"


def test_sweep_parameter(tmp_path: Path) -> None:
    args = ["--parameter", "nodes", "--values", "1", "2", "--seeds", "1", "--duration", "2.05", "--plot", "sweep.png"]
    said = run("sweep_parameter.py", *args, cwd=tmp_path)
    assert "peak error [mm]" in said
    assert "wrote sweep.png" in said
    with Image.open(tmp_path / "sweep.png") as plot:
        assert plot.format == "PNG"


def test_start_and_goal_come_from_the_seed_alone(task: ReachTask) -> None:
    x0, goal = start_and_goal(task, 39)
    again, other = start_and_goal(task, 39, goal_in_world=(0.5, 0.2, 0.3), at_rest=True)
    np.testing.assert_array_equal(again, np.concatenate([x0[:7], np.zeros(7)]))
    np.testing.assert_allclose(other, (0.5, 0.2, 0.3), atol=1e-8)
    assert x0[7:].any()
    assert not np.array_equal(goal, start_and_goal(task, 40)[1])
    with pytest.raises(BadSetting, match="seed = -1"):
        start_and_goal(task, -1)
    with pytest.raises(GoalError):
        start_and_goal(task, 39, goal_in_world=(2.0, 0.0, 0.4))


def test_terminal_costs_go_by_name(value: Value) -> None:
    assert terminal_cost("value", value) is value
    assert terminal_cost("zero", value) is None
    assert isinstance(terminal_cost("riccati", value), RiccatiValue)
    with pytest.raises(UnknownChoice, match="value, riccati, zero"):
        terminal_cost("none", value)


def test_simulate_carries_a_payload_in_either_engine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = ["simulate", "--seed", "3", "--nodes", "2", "--at-rest", "--json", "--payload", "2"]
    errors = {}
    for flags in (["--engine", "bullet"], ["--engine", "mujoco"], ["--engine", "mujoco", "--offset-free"]):
        assert main([*common, *flags, "--out", str(tmp_path / flags[1])]) == 0
        errors[" ".join(flags)] = json.loads(capfd.readouterr().out)["tool_error_final_m"]
    bullet, mujoco, offset_free = errors.values()
    assert bullet > 0.02
    assert abs(bullet - mujoco) < 1e-6
    assert offset_free < 2e-3


def test_how_brisk(tmp_path: Path) -> None:
    args = ["--model", "panda_reach", "--nodes", "2", "--motions", "1", "--bound", "0"]
    said = run("how_brisk.py", *args, cwd=tmp_path)
    assert "motions from rest, tool within 1 cm to stay" in said
    settled = float(said.splitlines()[-2].split("│")[2])
    assert 0.5 < settled < 3.0
    assert "time-optimal" not in said
