"""BulletPlant: a body as PyBullet integrates it, from the URDF that Pinocchio reads.

    (M(q) + A) a = tau + J(q)' w + r - h(q, v),   A = diag(armature)     what the plant has to do, r friction
     M(q)      a = tau_b             - h(q, v)                           what Bullet does, which knows no rotor inertia
     =>  tau_b = tau + J(q)' w + r - A a      with a from the first line and Bullet's own M, J and h

    v <- v + dt a,   q <- q + dt v                                       Bullet's integration: semi-implicit Euler

The emulation is exact as long as nothing else acts on the arm. So the arm collides with nothing, its joints have no other
friction than the body's (Pinocchio ignores what the URDF says of it) and no end stops: beyond a position limit the arm
goes on moving, and the log shows how far. Bullet caps joint velocities at 100 rad/s.

A push enters as J' w and friction as `friction_torque` says, so that Bullet and the emulation see the same ones.
"""

import os
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pybullet as p

from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.body import NOMINAL, PAYLOAD, Body, LinkWrench, checked_torque, friction_torque, plant_description
from dvp_mpc_sim.render import Scene


class BulletPlant:
    """A torque-controlled arm on a fixed base, alone in the world. A context manager: leaving it ends the simulation.

    dt is the time step [s]. visual loads the meshes, which `render` needs and which costs some tenths of a second; gui
    opens Bullet's window and implies visual. Joint vectors are in the order of `arm.joint_names`.
    """

    def __init__(self, arm: Arm, *, dt: float = 1e-3, gui: bool = False, visual: bool = False, body: Body = NOMINAL):
        if not dt > 0:
            raise BadSetting("dt", dt, "must be positive [s]")
        if gui and sys.platform == "linux" and not os.environ.get("DISPLAY"):
            # Bullet itself would end the whole process.
            raise RunFailed("Bullet's window needs a display and DISPLAY is not set; pictures and films need none")
        self.arm, self.dt, self.body = arm, dt, body
        self._armature, self._coulomb, self._viscous = body.armature(arm), body.coulomb_torque, body.viscous_rate
        self._rubs = bool(self._coulomb.any() or self._viscous.any())
        self._client = p.connect(p.GUI if gui else p.DIRECT)
        try:
            self._robot = self._load(visual or gui)
            self._configure()
            self._scene = Scene(self._client, self._robot) if visual or gui else None
        except BaseException:
            self.close()
            raise

    def _load(self, visual: bool) -> int:
        with tempfile.TemporaryDirectory() as folder:
            urdf = Path(folder, "arm.urdf")
            ET.ElementTree(plant_description(self.arm, self.body, visual=visual)).write(urdf)
            try:
                # Without the flag Bullet replaces the inertia by that of the collision shape, of which there is none.
                flags = p.URDF_USE_INERTIA_FROM_FILE
                return int(p.loadURDF(str(urdf), useFixedBase=True, flags=flags, physicsClientId=self._client))
            except p.error as error:
                raise RunFailed(f"PyBullet cannot load {self.arm.urdf}: {error}") from error

    def _configure(self) -> None:
        client, robot = self._client, self._robot
        p.setTimeStep(self.dt, physicsClientId=client)
        p.setGravity(*self.body.gravity_in_base, physicsClientId=client)
        info = [
            p.getJointInfo(robot, i, physicsClientId=client)
            for i in range(p.getNumJoints(robot, physicsClientId=client))
        ]
        joints = {i[1].decode(): i[0] for i in info}
        self._joints = [joints[name] for name in self.arm.joint_names]
        # As in Pinocchio, a joint names its child's frame. Who pushes knows the arm's links, not what it carries.
        own = [i for i in info if i[12].decode() != PAYLOAD]
        self._links = {i[1].decode(): i[0] for i in own} | {i[12].decode(): i[0] for i in own}
        # Vectors and matrices over all degrees of freedom come in Bullet's own joint order; [i] of them is arm joint i.
        self._dof = np.argsort(np.argsort(self._joints))
        self._from_dof = np.argsort(self._joints)
        for link in range(-1, len(info)):
            p.changeDynamics(robot, link, linearDamping=0, angularDamping=0, jointDamping=0, physicsClientId=client)
        # A motor that brakes every joint is on by default.
        p.setJointMotorControlArray(robot, self._joints, p.VELOCITY_CONTROL, forces=[0.0] * DOF, physicsClientId=client)
        self.reset(self.arm.home)

    def __enter__(self) -> "BulletPlant":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the simulation; a second call does nothing."""
        if p.isConnected(self._client):
            p.disconnect(self._client)

    def reset(self, q: np.ndarray, v: np.ndarray | None = None) -> None:
        """Put the arm at posture q (7,) [rad] with velocity v (7,) [rad/s], zero unless given."""
        rates = np.zeros(DOF) if v is None else v
        for joint, position, rate in zip(self._joints, q, rates, strict=True):
            p.resetJointState(self._robot, joint, float(position), float(rate), physicsClientId=self._client)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Posture (7,) [rad] and velocity (7,) [rad/s]."""
        states = p.getJointStates(self._robot, self._joints, physicsClientId=self._client)
        return np.array([s[0] for s in states]), np.array([s[1] for s in states])

    def step(self, torque: np.ndarray, wrenches: Sequence[LinkWrench] = ()) -> None:
        """Advance by dt under a torque (7,) [N m] and wrenches that are held for the step. Nothing is clipped.

        Raises RunFailed for a torque that is not finite and UnknownChoice for a link that the arm does not have.
        """
        applied = checked_torque(self.arm, torque).copy()
        q, v = self.state()
        for link, wrench in wrenches:
            applied += self._jacobian(link, q).T @ wrench
        M, h = self.mass_matrix(q), self._inverse_dynamics(q, v)
        if self._rubs:
            applied += friction_torque(M, v, applied - h, self._coulomb, self._viscous, self.dt)
        a = np.linalg.solve(M, applied - h)
        forces = (applied - self._armature * a).tolist()
        p.setJointMotorControlArray(
            self._robot, self._joints, p.TORQUE_CONTROL, forces=forces, physicsClientId=self._client
        )
        p.stepSimulation(physicsClientId=self._client)
        self.show_pushes(wrenches)

    def gravity_torque(self, q: np.ndarray) -> np.ndarray:
        """Torque that holds posture q at rest without friction, according to Bullet: (7,) [N m]."""
        return self._inverse_dynamics(q, np.zeros(DOF))

    def mass_matrix(self, q: np.ndarray) -> np.ndarray:
        """Bullet's joint-space inertia plus the armature: (7, 7) [kg m^2]."""
        M = np.array(p.calculateMassMatrix(self._robot, self._to_dof(q), physicsClientId=self._client))
        return M[np.ix_(self._dof, self._dof)] + np.diag(self._armature)

    def _inverse_dynamics(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        rest = [0.0] * DOF
        h = p.calculateInverseDynamics(
            self._robot, self._to_dof(q), self._to_dof(v), rest, physicsClientId=self._client
        )
        return np.array(h)[self._dof]

    def _jacobian(self, link: str | None, q: np.ndarray) -> np.ndarray:
        index, origin, rest = self._link_index(link), [0.0] * 3, [0.0] * DOF
        args = (self._robot, index, origin, self._to_dof(q), rest, rest)
        return np.vstack(p.calculateJacobian(*args, physicsClientId=self._client))[:, self._dof]

    def _to_dof(self, x: np.ndarray) -> list[float]:
        return [float(value) for value in np.asarray(x)[self._from_dof]]

    def _link_index(self, link: str | None) -> int:
        name = link or self.arm.tool_frame
        if name not in self._links:
            raise UnknownChoice("link", name, self._links)
        return int(self._links[name])

    def link_in_world(self, link: str | None = None) -> np.ndarray:
        """Origin of a link's frame, of the tool unless named: (3,) [m]. Bullet gives it to about 1e-7 m."""
        index = self._link_index(link)
        state = p.getLinkState(self._robot, index, computeForwardKinematics=1, physicsClientId=self._client)
        return np.array(state[4])

    def tool_in_world(self) -> np.ndarray:
        """Position of the tool: (3,) [m]."""
        return self.link_in_world()

    def show_goal(self, goal_in_world: np.ndarray) -> None:
        """Put the sphere that marks the goal (3,) [m] in the scene; without a scene this does nothing."""
        if self._scene is not None:
            self._scene.show_goal(goal_in_world)

    def show_pushes(self, wrenches: Sequence[LinkWrench]) -> None:
        """Put an arrow for each push in the scene; without a scene this does nothing."""
        if self._scene is not None:
            self._scene.pushes = [(self.link_in_world(link), wrench[:3]) for link, wrench in wrenches]

    def render(self, width: int = 480, height: int = 360, *, antialias: int = 2) -> np.ndarray:
        """Picture of the scene, drawn in software, so that no display is needed: (height, width, 3) uint8.

        Takes 0.2 to 0.4 s as it is, a third of that with antialias = 1.
        """
        if self._scene is None:
            raise BadSetting("visual", False, "a plant that renders must be made with visual=True")
        return self._scene.picture(width, height, antialias)
