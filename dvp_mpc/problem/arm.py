"""Arm: the only reader of robot descriptions.

An arm is a Pinocchio model with seven one-dof joints and the facts around it that a URDF does not settle: which joints are
locked, the armature, the tool frame and the home posture.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pinocchio as pin

from dvp_mpc.errors import ArmError, BadSetting, UnknownChoice
from dvp_mpc.problem.arms import ARMS, DOF, Description


@dataclass(frozen=True, eq=False)
class Arm:
    """A torque-controlled arm with seven revolute joints.

    `model` is shared and never changed after loading; the scratch data that Pinocchio needs exists once per thread.
    """

    name: str
    model: pin.Model
    urdf: Path
    tool_frame: str
    home: np.ndarray  # (7,) [rad]
    locked: Mapping[str, float]

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_scratch"}

    @cached_property
    def _scratch(self) -> threading.local:
        return threading.local()

    @property
    def _data(self) -> pin.Data:
        data = getattr(self._scratch, "data", None)
        if data is None:
            data = self._scratch.data = self.model.createData()
        return data

    @cached_property
    def tool_id(self) -> int:
        return int(self.model.getFrameId(self.tool_frame))

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the seven joints, in the order of every joint vector in this package."""
        return tuple(self.model.names)[1:]

    @cached_property
    def lower(self) -> np.ndarray:
        """Lower position limits: (7,) [rad]."""
        return np.array(self.model.lowerPositionLimit)

    @cached_property
    def upper(self) -> np.ndarray:
        """Upper position limits: (7,) [rad]."""
        return np.array(self.model.upperPositionLimit)

    @cached_property
    def velocity_limit(self) -> np.ndarray:
        """Velocity limits: (7,) [rad/s]."""
        return np.array(self.model.upperVelocityLimit)

    @cached_property
    def torque_limit(self) -> np.ndarray:
        """Torque limits: (7,) [N m]."""
        return np.array(self.model.upperEffortLimit)

    @cached_property
    def armature(self) -> np.ndarray:
        """Rotor inertia at each joint: (7,) [kg m^2]."""
        return np.array(self.model.armature)

    @cached_property
    def screws(self) -> tuple[np.ndarray, np.ndarray]:
        """The joints' screws (6, 7) [linear, angular] at q = 0 in the world, and the tool's position (3,) [m] there."""
        q = np.zeros(DOF)
        J = pin.computeFrameJacobian(self.model, self._data, q, self.tool_id, pin.WORLD)
        return np.array(J), self.tool_in_world(q)

    @cached_property
    def reach(self) -> tuple[np.ndarray, float]:
        """The first joint's origin (3,) [m], which stays, and what the links add up to from there [m]: no point is farther."""
        pin.forwardKinematics(self.model, self._data, np.zeros(DOF))
        pin.updateFramePlacements(self.model, self._data)
        points = [self._data.oMi[joint].translation.copy() for joint in range(1, DOF + 1)]
        points.append(self._data.oMf[self.tool_id].translation.copy())
        return points[0], float(sum(np.linalg.norm(b - a) for a, b in pairwise(points)))

    def tool_in_world(self, q: np.ndarray) -> np.ndarray:
        """Tool position at posture q: (3,) [m]."""
        pin.forwardKinematics(self.model, self._data, q)
        return np.array(pin.updateFramePlacement(self.model, self._data, self.tool_id).translation)

    def tool_jacobian_in_world(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tool position (3,) [m] and its Jacobian dp/dq (3, 7) [m/rad]."""
        J = pin.computeFrameJacobian(self.model, self._data, q, self.tool_id, pin.LOCAL_WORLD_ALIGNED)
        return np.array(self._data.oMf[self.tool_id].translation), np.array(J[:3])

    def rotation_in_world(self, q: np.ndarray, frame: str | None = None) -> np.ndarray:
        """From the axes of a frame, the tool's unless named, to the world's: (3, 3). Raises UnknownChoice."""
        if not self.model.existFrame(frame or self.tool_frame):
            raise UnknownChoice(f"frame of '{self.name}'", frame, [f.name for f in self.model.frames])
        pin.forwardKinematics(self.model, self._data, q)
        frame_id = self.model.getFrameId(frame or self.tool_frame)
        return np.array(pin.updateFramePlacement(self.model, self._data, frame_id).rotation)

    def gravity_torque(self, q: np.ndarray) -> np.ndarray:
        """Torque that holds posture q at rest: (7,) [N m]."""
        return np.array(pin.computeGeneralizedGravity(self.model, self._data, q))

    def nonlinear_effects(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Gravity, Coriolis and centrifugal torque: (7,) [N m]."""
        return np.array(pin.nonLinearEffects(self.model, self._data, q, v))

    def momentum_drift(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """C(q, v)' v - g(q), by which the momentum M(q) v changes when no torque acts: (7,) [N m]."""
        C = pin.computeCoriolisMatrix(self.model, self._data, q, v)
        return np.array(C.T @ v - pin.computeGeneralizedGravity(self.model, self._data, q))

    def mass_matrix(self, q: np.ndarray) -> np.ndarray:
        """Joint-space inertia with armature: (7, 7) [kg m^2]."""
        return np.array(pin.crba(self.model, self._data, q))


def is_urdf(name: str) -> bool:
    """Whether an arm's name is the path of a URDF instead of one of ARMS."""
    return name not in ARMS and Path(name).suffix == ".urdf"


def load_arm(
    name: str,
    *,
    tool_frame: str | None = None,
    locked: Mapping[str, float] | None = None,
    home: Sequence[float] | None = None,
    armature: Sequence[float] | None = None,
) -> Arm:
    """Load an arm by name (see ARMS) or any URDF by path, which then goes by its robot's name.

    tool_frame, locked, home (7,) [rad] and armature (7,) [kg m^2] replace what the description says; a URDF by path must be
    given its tool frame. Raises UnknownChoice for an unknown name or frame, BadSetting for a home or armature that is not
    seven numbers and ArmError for a description that is no 7-dof revolute arm.
    """
    if name in ARMS:
        description = ARMS[name]
    elif is_urdf(name):
        description = Description(source=str(Path(name).resolve()), tool_frame=tool_frame or "")
    else:
        raise UnknownChoice("arm", name, [*ARMS, "PATH.urdf"])
    locks = dict(description.locked or {}) if locked is None else dict(locked)
    return _load(
        name if name in ARMS else None,
        description.source,
        tool_frame or description.tool_frame,
        tuple(sorted(locks.items())),
        _seven("home", description.home if home is None else home, -np.inf),
        _seven("armature", description.armature if armature is None else armature, 0.0),
        description.velocity_limit,
        description.torque_limit,
    )


def _seven(field: str, values: Sequence[float], least: float) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != DOF or not all(np.isfinite(value) and value >= least for value in numbers):
        raise BadSetting(field, numbers, f"must be {DOF} finite numbers" + (", none negative" if least == 0 else ""))
    return numbers


@lru_cache(maxsize=8)
def _load(
    known: str | None,
    source: str,
    tool_frame: str,
    locks: tuple[tuple[str, float], ...],
    home: tuple[float, ...],
    armature: tuple[float, ...],
    velocity_limit: tuple[float, ...] | None,
    torque_limit: tuple[float, ...] | None,
) -> Arm:
    urdf = _find_urdf(source)
    try:
        full = pin.buildModelFromUrdf(str(urdf))
    except Exception as error:
        raise ArmError(f"{urdf}: not a readable URDF ({str(error).strip().splitlines()[-1]})") from error
    name = known or full.name or urdf.stem  # never the path: the name enters the task's digest
    reference = pin.neutral(full)
    for joint, position in locks:
        if not full.existJointName(joint):
            raise UnknownChoice("locked joint", joint, list(full.names)[1:])
        reference[full.joints[full.getJointId(joint)].idx_q] = position
    model = pin.buildReducedModel(full, [full.getJointId(j) for j, _ in locks], reference)
    if velocity_limit is not None:
        model.upperVelocityLimit = np.array(velocity_limit)
        model.lowerVelocityLimit = -np.array(velocity_limit)
    if torque_limit is not None:
        model.upperEffortLimit = np.array(torque_limit)
        model.lowerEffortLimit = -np.array(torque_limit)
    _require_arm(name, model)
    if not model.existFrame(tool_frame):
        raise UnknownChoice(f"tool frame of '{name}'", tool_frame, [f.name for f in model.frames if f.type == pin.BODY])
    model.armature = np.array(armature)
    within = np.clip(np.array(home), model.lowerPositionLimit, model.upperPositionLimit)
    return Arm(name, model, urdf, tool_frame, within, dict(locks))


def _find_urdf(source: str) -> Path:
    if source.endswith(".urdf") and not source.startswith("pybullet_data:"):
        path = Path(source)
    elif source.startswith("pybullet_data:"):
        try:
            import pybullet_data
        except ImportError as error:
            raise ArmError("arm 'iiwa' comes with pybullet_data: install the extra 'sim'") from error
        path = Path(pybullet_data.getDataPath()) / source.split(":", 1)[1]
    else:
        from example_robot_data.robots_loader import ROBOTS, getModelPath

        loader = ROBOTS[source]  # only its paths: constructing it would load every mesh
        relative = Path(loader.path) / loader.urdf_subpath / loader.urdf_filename
        path = Path(getModelPath(str(relative))) / relative
    if not path.is_file():
        raise ArmError(f"{path}: no such URDF file")
    return path.resolve()


def _require_arm(name: str, model: pin.Model) -> None:
    joints = list(model.names)[1:]
    if model.nq != model.nv:
        wide = [j for j in joints if model.joints[model.getJointId(j)].nq != model.joints[model.getJointId(j)].nv]
        raise ArmError(f"arm '{name}': nq = {model.nq} but nv = {model.nv}; joints without limits: {', '.join(wide)}")
    if model.nv != DOF:
        raise ArmError(f"arm '{name}': {model.nv} joints ({', '.join(joints)}), needs {DOF}; lock the others")
    straight = [j for j in joints if not model.joints[model.getJointId(j)].shortname().startswith("JointModelR")]
    if straight:
        raise ArmError(f"arm '{name}': not revolute: {', '.join(straight)}; lock them")
    for field, limit in [
        ("position limits", model.upperPositionLimit - model.lowerPositionLimit),
        ("velocity limit", model.upperVelocityLimit),
        ("torque limit", model.upperEffortLimit),
    ]:
        bad = [j for j, value in zip(joints, limit, strict=True) if not (np.isfinite(value) and 0 < value < 1e6)]
        if bad:
            raise ArmError(f"arm '{name}': {field} missing or not positive for joint {', '.join(bad)}")
