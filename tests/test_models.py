"""load_model: the task of a value comes from its card, wherever the robot description lies."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.errors import ModelFileError, UnknownChoice, ValueMismatch
from dvp_mpc.models import load_model
from dvp_mpc.presets import Preset
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.value import Layout, Value
from dvp_mpc.value_file import Golden, save_value

HOME = (0.0, -0.3, 0.0, 1.2, 0.0, 1.5, 0.1)
FACTS = {"accuracy": {}, "training": {}, "versions": {}, "date": "2026-11-24", "command": "train"}


@pytest.fixture(scope="module")
def urdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    return Path(shutil.copy(load_arm("xarm7").urdf, folder / "mine.urdf"))


@pytest.fixture(scope="module")
def model(urdf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A value with weights of zero for an arm by path, with a home and an armature of its own."""
    task = Preset(str(urdf), tool_frame="link7", home=HOME, armature=(0.2,) * 7).task()
    save_plain(task, path := tmp_path_factory.mktemp("values") / "mine.safetensors")
    return path


def save_plain(task: ReachTask, path: Path) -> None:
    layout = Layout(task.nx, task.nt, task.nc, (4,), 14)
    weights = {name: np.zeros(shape) for name, shape in layout.shapes.items()} | {"scale": np.ones(layout.nz)}
    rng = np.random.default_rng(1)
    x, goals = sample_starts(task, rng, 2), [task.sample_goal(rng).frame for _ in range(2)]
    t, Jt = zip(*(task.tool_jacobian(row) for row in x), strict=True)
    golden = Golden(goals, x, np.array(t), np.array(Jt))
    save_value(path, Value(layout, task.state_limits, weights), task, golden, FACTS)


def test_value_of_a_urdf_goes_wherever_the_urdf_is(
    urdf: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(urdf, tmp_path / "elsewhere.urdf")
    monkeypatch.chdir(tmp_path)
    task, _, card = load_model(model, "elsewhere.urdf")
    assert task.digest == card["digest"]
    assert task.arm.tool_frame == "link7"
    assert task.arm.home == pytest.approx(HOME)
    assert task.arm.armature == pytest.approx(0.2)
    assert str(urdf.parent) not in str(card)


def test_value_of_a_urdf_asks_for_it(model: Path) -> None:
    with pytest.raises(ModelFileError, match="the URDF of 'UF_ROBOT'"):
        load_model(model.with_name("mine.safetensors"), None)


def test_another_urdf_is_refused(urdf: Path, model: Path, tmp_path: Path) -> None:
    text = urdf.read_text()
    (tmp_path / "heavier.urdf").write_text(re.sub(r'<mass\s+value="', '<mass value="1', text))
    with pytest.raises(ValueMismatch, match="inertias differ"):
        load_model(model, str(tmp_path / "heavier.urdf"))
    (tmp_path / "renamed.urdf").write_text(text.replace("link7", "link_seven"))
    with pytest.raises(UnknownChoice, match="link_seven"):
        load_model(model, str(tmp_path / "renamed.urdf"))


def test_arm_of_another_name_is_refused(model: Path) -> None:
    with pytest.raises(ValueMismatch, match=r"arm: value was made for .*, this problem has iiwa"):
        load_model(model, "iiwa")
