"""Where the shipped values are, the task that a value was made for, and what a file is to prove itself by."""

from pathlib import Path
from typing import Any

import numpy as np

from dvp_mpc.errors import BadSetting, ModelFileError
from dvp_mpc.problem.arm import Arm, is_urdf, load_arm
from dvp_mpc.problem.arms import ARMS
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.reach_settings import ReachBox, ReachWeights
from dvp_mpc.problem.task import sample_starts
from dvp_mpc.value import Value
from dvp_mpc.value_file import Card, Golden, load_value, read_card

DEFAULT_MODEL = "panda_reach"
GOLDEN_STATES = 16


def models_folder() -> Path:
    """The folder of shipped values: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def find_model(name: str | Path) -> Path:
    """A value file by path, or a shipped one by name. Raises ModelFileError, listing the shipped ones."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = models_folder() / f"{name}.safetensors"
    if path.suffix != ".safetensors" and shipped.is_file():
        return shipped
    names = sorted(p.stem for p in models_folder().glob("*.safetensors"))
    raise ModelFileError(name, "file", f"no such file, and no shipped model; shipped: {', '.join(names) or 'none'}")


def load_model(name: str | Path, arm: str | None = None) -> tuple[ReachTask, Value, Card]:
    """A value with the task it was made for, rebuilt from its card and then checked against it.

    arm, where given, is what the caller has; a value made for another raises ValueMismatch. A value that was made for a URDF
    needs that URDF here; tool frame, locked joints, home and armature, which the URDF does not say, come from the card.
    """
    path = find_model(name)
    card = read_card(path)
    task = _task(path, card, arm)
    value, card = load_value(path, task)
    return task, value, card


def _task(path: Path, card: Card, arm: str | None) -> ReachTask:
    facts: dict[str, Any] = card["task"]
    try:
        weights = ReachWeights(**facts["weights"])
        sides: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["box"].items()}
        found = _arm(path, facts, str(facts["arm"]) if arm is None else arm)
        return ReachTask(found, weights, ReachBox(**sides), float(facts["dt"]))
    except (KeyError, TypeError, ValueError, AttributeError, BadSetting) as error:
        raise ModelFileError(path, "task", f"not a reaching task ({error})") from error


def _arm(path: Path, facts: dict[str, Any], name: str) -> Arm:
    if is_urdf(name):
        return load_arm(name, **{key: facts[key] for key in ("tool_frame", "locked", "home", "armature")})
    if name == facts["arm"]:
        if name not in ARMS:
            raise ModelFileError(path, "arm", f"value was made for the URDF of '{name}'; give its path as the arm")
        return load_arm(name, tool_frame=facts["tool_frame"], locked=facts["locked"])
    return load_arm(name)


def golden_of(task: ReachTask) -> Golden:
    """States that a file of a value for this task carries its answers at."""
    rng = np.random.default_rng(0)
    goals = [task.sample_goal(rng) for _ in range(GOLDEN_STATES)]
    x = sample_starts(task, rng, GOLDEN_STATES)
    (lower, upper), beyond = task.state_limits, 0.1
    x[0::4], x[2::4] = lower - beyond, upper + beyond  # the limits' own residuals are zero anywhere else
    t, Jt = zip(*(task.tool_jacobian(row) for row in x), strict=True)
    return Golden([goal.frame for goal in goals], x, np.array(t), np.array(Jt))
