"""MujocoPlant: the same body as MuJoCo integrates it, so that what is found on one physics engine can be asked of another.

    (M + A) a = tau + J'w - h + f        A = diag(armature), f dry friction: a soft constraint with |f_i| <= c_i
    v <- v + dt (M + A + dt B)^-1 (M + A) a,   q <- q + dt v          with what -B v adds to the first line

MuJoCo's "Euler" is semi-implicit, as Bullet's integration is, with joint damping taken at the end of the step: without dry
friction two plants of one body differ by rounding. Its other integrators are more exact; but then a difference between the
plants would no longer say that one of them is wrong.

Dry friction is a constraint that asks for v = 0 after the step and gives way a little: with the least softness that MuJoCo
takes, a held joint creeps at 1e-4 dt (M^-1)_ii f_i, which is 1e-6 rad/s per N m where the armature is 0.1 kg m^2.

MuJoCo wants of an inertia what nature wants, that no principal one exceeds the sum of the others, and refuses a URDF that
gets this wrong; the other engines do not look.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from types import TracebackType

import mujoco
import numpy as np
import pinocchio as pin

from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.body import NOMINAL, Body, LinkWrench, checked_torque, plant_description

mujoco.set_mju_user_warning(
    lambda text: None
)  # a motion that diverges is RunFailed here, not a file in the user's folder


class MujocoPlant:
    """A torque-controlled arm on a fixed base, alone in the world. A context manager, as plants are.

    dt is the time step [s]. Joint vectors are in the order of `arm.joint_names`. Nothing is drawn.
    """

    def __init__(self, arm: Arm, *, dt: float = 1e-3, body: Body = NOMINAL):
        if not dt > 0:
            raise BadSetting("dt", dt, "must be positive [s]")
        self.arm, self.dt, self.body = arm, dt, body
        root = plant_description(arm, body, visual=False)
        for child in [child for child in root if child.tag not in ("link", "joint")]:
            root.remove(child)  # materials, transmissions, what Gazebo wants
        try:
            self._model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
        except ValueError as error:
            raise RunFailed(f"MuJoCo cannot load {arm.urdf}: {error}") from error
        self._configure()
        self._data, self._aside = mujoco.MjData(self._model), mujoco.MjData(self._model)
        mujoco.mj_setConst(self._model, self._aside)  # the armature enters how soft friction is
        self._frames = self._find_frames()
        self.reset(arm.home)

    def _configure(self) -> None:
        model = self._model
        joints = [model.joint(name) for name in self.arm.joint_names]
        self._dof = np.array([joint.dofadr[0] for joint in joints])  # one per joint: it is that of the posture, too
        self._bodies = [0, *(int(joint.bodyid[0]) for joint in joints)]  # by Pinocchio's joint, the first is the base
        model.dof_armature[self._dof] = self.body.armature(self.arm)
        model.dof_damping[self._dof] = self.body.viscous_rate
        model.dof_frictionloss[self._dof] = self.body.coulomb_torque
        model.dof_solref[:] = 2 * self.dt, 1.0  # shorter ones MuJoCo does not take: with this one v = 0 after one step
        model.dof_solimp[:, :2] = 0.9999  # 1 - 1e-4, the hardest
        model.opt.gravity[:] = self.body.gravity_in_base
        model.opt.timestep = self.dt
        model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
        model.opt.tolerance = 1e-12
        # No end stops and no joint that mimics another, as in Pinocchio; no silent return to the start of a motion that
        # diverges.
        off = mujoco.mjtDisableBit
        model.opt.disableflags |= off.mjDSBL_CONTACT | off.mjDSBL_LIMIT | off.mjDSBL_EQUALITY | off.mjDSBL_AUTORESET

    def _find_frames(self) -> dict[str, tuple[int, np.ndarray]]:
        """Body that carries a frame, and the frame's origin in it (3,) [m], by the names of links and joints.

        From Pinocchio, since MuJoCo fuses links on fixed joints to one body and forgets their frames.
        """
        _universe, _root, *frames = self.arm.model.frames  # Bullet does not let its base be pushed, either
        kinds = (pin.BODY, pin.JOINT, pin.FIXED_JOINT)
        return {f.name: (self._bodies[f.parentJoint], f.placement.translation) for f in frames if f.type in kinds}

    def __enter__(self) -> "MujocoPlant":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left open: here for those who can be given either plant."""

    def reset(self, q: np.ndarray, v: np.ndarray | None = None) -> None:
        """Put the arm at posture q (7,) [rad] with velocity v (7,) [rad/s], zero unless given."""
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[self._dof] = q
        self._data.qvel[self._dof] = 0.0 if v is None else v
        mujoco.mj_step1(self._model, self._data)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Posture (7,) [rad] and velocity (7,) [rad/s]."""
        return self._data.qpos[self._dof], self._data.qvel[self._dof]

    def step(self, torque: np.ndarray, wrenches: Sequence[LinkWrench] = ()) -> None:
        """Advance by dt under a torque (7,) [N m] and wrenches that are held for the step. Nothing is clipped.

        Raises RunFailed for a torque that is not finite or a motion that diverges, and UnknownChoice for a link that the
        arm does not have.
        """
        model, data = self._model, self._data
        data.qfrc_applied[self._dof] = checked_torque(self.arm, torque)
        for link, wrench in wrenches:
            body, point = self._place(link)
            mujoco.mj_applyFT(model, data, wrench[:3], wrench[3:], point, body, data.qfrc_applied)
        # The first half of a step computes what the state implies: done ahead, so that between two steps places and
        # Jacobians are those of the state.
        mujoco.mj_step2(model, data)
        mujoco.mj_step1(model, data)
        if not np.isfinite(data.qvel).all():
            raise RunFailed("the motion diverged: a velocity is not finite")

    def gravity_torque(self, q: np.ndarray) -> np.ndarray:
        """Torque that holds posture q at rest without friction, according to MuJoCo: (7,) [N m]."""
        return np.array(self._at(q).qfrc_bias[self._dof])

    def mass_matrix(self, q: np.ndarray) -> np.ndarray:
        """MuJoCo's joint-space inertia, armature included: (7, 7) [kg m^2]."""
        data, M = self._at(q), np.zeros((DOF, DOF))
        for row, unit in zip(M, np.eye(DOF), strict=True):
            mujoco.mj_mulM(self._model, data, row, unit)
        return M[np.ix_(self._dof, self._dof)]

    def _at(self, q: np.ndarray) -> mujoco.MjData:
        self._aside.qpos[self._dof] = q
        mujoco.mj_step1(self._model, self._aside)
        return self._aside

    def _place(self, link: str | None) -> tuple[int, np.ndarray]:
        name = link or self.arm.tool_frame
        if name not in self._frames:
            raise UnknownChoice("link", name, self._frames)
        body, origin = self._frames[name]
        return body, self._data.xpos[body] + self._data.xmat[body].reshape(3, 3) @ origin

    def link_in_world(self, link: str | None = None) -> np.ndarray:
        """Origin of a link's frame, of the tool unless named: (3,) [m]."""
        return self._place(link)[1]

    def tool_in_world(self) -> np.ndarray:
        """Position of the tool: (3,) [m]."""
        return self.link_in_world()

    def show_goal(self, goal_in_world: np.ndarray) -> None:
        """Nothing is drawn: here for those who can be given either plant."""
