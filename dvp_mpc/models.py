"""Where the shipped values are, and the task that a value was made for."""

from pathlib import Path
from typing import Any

from dvp_mpc.errors import BadSetting, ModelFileError
from dvp_mpc.problem.arm import ARMS, Arm, is_urdf, load_arm
from dvp_mpc.problem.reach import ReachBox, ReachTask, ReachWeights
from dvp_mpc.value import Value
from dvp_mpc.value_file import Card, load_value, read_card

DEFAULT_MODEL = "panda_reach"


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
