"""Parameters of the plant node, and the objects that they stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dvp_mpc.control.realtime import REALTIME
from dvp_mpc.disturbance import ExternalWrench, parse_disturbance
from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.plan_file import load_plan, read_fields
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc_ros.declared import parameter


@dataclass(frozen=True)
class PlantParameters:
    """One field for each parameter, under its name."""

    model: str = parameter(DEFAULT_MODEL, "Value file, or the name of a shipped one, whose arm this is; '': see arm.")
    arm: str = parameter("", "Arm by name or path of a URDF; '' with a model: the model's own.")
    tool_frame: str = parameter("", "Frame whose origin is the tool, where there is no model to say so.")
    q0: list[float] = parameter([], "Start posture in joint order [rad]; empty: the arm's home.")
    v0: list[float] = parameter([], "Start velocity in joint order [rad/s]; empty: at rest.")
    command_topic: str = parameter(
        "/effort_controller/commands", "Where torque comes from (std_msgs/Float64MultiArray, joint order) [N m]."
    )
    disturbance: str = parameter("", "Pushes on the tool, such as 'impulse:5@1.5'; times are simulated ones [s].")
    disturbance_file: str = parameter("", "YAML file {seed: 1, disturbances: ['push:20@1-4', ...]} of more pushes.")
    seed: int = parameter(0, "Seed of what is random in `disturbance`.", 0, 2**31)
    fault_plan: str = parameter("", "YAML file of faults to be put on joint_states, for tests; empty: none.")
    record: str = parameter("", "Write what happened to this .npz file on exit; 0.4 MB of memory a second until then.")
    publish_clock: bool = parameter(False, "Publish simulated time on /clock and stamp by it, from zero.")
    gui: bool = parameter(False, "Open Bullet's window.")
    realtime: str = parameter(
        "try", "SCHED_FIFO and locked memory: enforce, try or 'off' (quoted, or YAML reads false)."
    )

    def load_arm(self) -> Arm:
        """The arm. Raises UsageError for one that cannot be had."""
        if not self.model:
            return load_arm(self.arm, tool_frame=self.tool_frame or None)
        if self.tool_frame:
            raise BadSetting(
                "tool_frame", self.tool_frame, "the model says where the tool is; set model to '' to choose"
            )
        return load_model(self.model, self.arm or None)[0].arm

    def start(self, arm: Arm) -> tuple[np.ndarray, np.ndarray]:
        """Posture (7,) [rad] and velocity (7,) [rad/s] to begin with. Raises BadSetting."""
        return _seven("q0", self.q0, arm.home), _seven("v0", self.v0, np.zeros(DOF))

    def disturbances(self) -> list[ExternalWrench]:
        """The seeded pushes. Raises UsageError for a text or a file that cannot be read."""
        pushes = [parse_disturbance(self.disturbance, seed=self.seed)] if self.disturbance else []
        return pushes + (load_disturbances(Path(self.disturbance_file)) if self.disturbance_file else [])

    def check_realtime(self) -> None:
        """Raises UnknownChoice."""
        if self.realtime not in REALTIME:
            raise UnknownChoice("realtime", self.realtime, REALTIME)


def load_disturbances(path: Path) -> list[ExternalWrench]:
    """Read {seed: int, disturbances: [text, ...]}; the k-th text has the seed + 1000 k. Raises UsageError, naming the file."""
    return load_plan("disturbance_file", path, _read_disturbances)


def _read_disturbances(raw: Any) -> list[ExternalWrench]:
    raw = read_fields("disturbance_file", raw, ("seed", "disturbances"))
    seed, texts = raw.get("seed", 0), raw.get("disturbances", [])
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise BadSetting("seed", seed, "must be a whole number, not negative")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadSetting("disturbances", texts, "must be a list of texts such as 'impulse:5@1.5'")
    return [parse_disturbance(text, seed=seed + 1000 * k) for k, text in enumerate(texts)]


def _seven(field: str, given: list[float], default: np.ndarray) -> np.ndarray:
    values = np.array(given) if given else default.copy()
    if values.shape != (DOF,) or not np.isfinite(values).all():
        raise BadSetting(field, given, f"must be {DOF} finite numbers")
    return values
