"""The authors' own arm problem, for figure 9: a KUKA LBR iiwa 14 with a tool 4 cm beyond its last joint, one start, one goal.

    l(x, u) = dt ( ||p(q) - p_g||^2 + 0.1 ||W v||^2 + 0.005 ||u - g(q)||^2 + 0.05 ||barrier(x)||^2 )

There is no posture term, so every posture with the tool at the goal costs nothing: V exists, a Riccati matrix at the goal does
not, and our way, which starts from one, does not apply. The paper's way needs neither: a net for the one goal, told the state.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import crocoddyl
import numpy as np
import pinocchio as pin

from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.task import Goal

THEIRS = {50: 0.902951, 70: 0.939873, 100: 0.957238, 200: 0.962473, 800: 0.962524}
"""Cost of the authors' problem, on their description of the arm, over T nodes with zero terminal cost."""
THEIR_ERROR_MM = {1: 349.6, 2: 99.8, 3: 40.1, 4: 18.1, 5: 8.2, 6: 3.6}
"""Their tool's distance from the goal [mm] after as many seconds, over a long horizon."""
START = np.array([0.1, 0.7, 0.0, 0.7, -0.5, 1.5, 0.0])  # [rad], at rest
GOAL = np.array([-0.3, -0.4, 0.5])  # [m]
TOOL = 0.04  # [m] along the last joint's axis
AROUND, SPEED = 0.3, 1.0  # [rad, rad/s] by which the training box is wider than the motion, and its speeds
END = np.array([-1.15, 0.87, 1.45, 1.99, -1.17, 1.15, 0.0])  # [rad] where the motion ends
TOOL_FRAME = "tool"


@dataclass(frozen=True, eq=False)
class AuthorsArm:
    """The problem as a Task, with its one goal. A value is told the state only: it has neither tool map nor context."""

    dt: float = 0.03

    nx, nu, nt, nc, angles = 2 * DOF, DOF, 0, 0, DOF

    @cached_property
    def model(self) -> pin.Model:
        """The arm, with the tool's frame."""
        arm = load_arm("iiwa", armature=(0.1,) * 6 + (0.01,))
        model, flange = arm.model.copy(), arm.model.frames[arm.tool_id]
        place = flange.placement * pin.SE3(np.eye(3), np.array([0.0, 0.0, TOOL]))
        model.addFrame(pin.Frame(TOOL_FRAME, flange.parentJoint, arm.tool_id, place, pin.OP_FRAME))
        return model

    def __getstate__(self) -> dict[str, object]:
        return {"dt": self.dt}  # Pinocchio's and Crocoddyl's objects are made again

    @property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Soft limits of [q; v]: 95 % of the positions, 1 rad/s."""
        positions, speeds = (self.model.lowerPositionLimit, self.model.upperPositionLimit), np.ones(DOF)
        return np.concatenate([0.95 * positions[0], -speeds]), np.concatenate([0.95 * positions[1], speeds])

    @property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Around the motion; the authors do not state theirs."""
        speeds = np.full(DOF, SPEED)
        lower, upper = np.minimum(START, END) - AROUND, np.maximum(START, END) + AROUND
        return np.concatenate([lower, -speeds]), np.concatenate([upper, speeds])

    def describe(self) -> dict[str, object]:
        """Facts behind the digest."""
        lower, upper = self.start_box
        facts = {"goal": GOAL.tolist(), "tool": TOOL, "box": [lower.tolist(), upper.tolist()]}
        return {"task": "authors_arm", "dt": self.dt, **facts}

    @property
    def digest(self) -> str:
        """SHA-256 of the facts."""
        return hashlib.sha256(repr(self.describe()).encode()).hexdigest()

    def stoppable(self, x: np.ndarray) -> np.ndarray:
        """All of them: their problem has no limits."""
        return x

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """The one goal, at the posture where the motion ends; its root stands for none."""
        x, none = np.concatenate([END, np.zeros(DOF)]), np.zeros(0)
        u = pin.computeGeneralizedGravity(self.model, self.model.createData(), END)
        return Goal(x, np.array(u), none, none, np.eye(self.nx))

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """One node. Weights are twice those of the head: Crocoddyl halves every square."""
        state, nu = crocoddyl.StateMultibody(self.model), self.nu
        squared = crocoddyl.ActivationModelWeightedQuad(np.array([0.0] * DOF + [1.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0]))
        barrier = crocoddyl.ActivationModelQuadraticBarrier(crocoddyl.ActivationBounds(*self.state_limits))
        tool = crocoddyl.ResidualModelFrameTranslation(state, self.model.getFrameId(TOOL_FRAME), GOAL, nu)
        from_rest, gravity = (
            crocoddyl.ResidualModelState(state, np.zeros(self.nx), nu),
            crocoddyl.ResidualModelControlGrav(state, nu),
        )
        residual = crocoddyl.CostModelResidual
        costs = crocoddyl.CostModelSum(state, nu)
        costs.addCost("tool", residual(state, tool), 2.0)
        costs.addCost("velocity", residual(state, squared, from_rest), 2 * 0.1)
        costs.addCost("torque", residual(state, gravity), 2 * 0.005)
        costs.addCost("limits", residual(state, barrier, crocoddyl.ResidualModelState(state, nu)), 2 * 0.05)
        actuation = crocoddyl.ActuationModelFull(state)
        dynamics = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
        return crocoddyl.IntegratedActionModelEuler(dynamics, self.dt)

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:
        """Nothing to do: there is one goal."""

    def tool(self, x: np.ndarray) -> np.ndarray:
        """None is told to a value: (0,)."""
        return np.zeros(0)

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """None is told to a value: (0,), (0, 14)."""
        return np.zeros(0), np.zeros((0, self.nx))

    def tools(self, xs: np.ndarray) -> np.ndarray:
        """Tool positions (n, 3) [m] of states (n, 14)."""
        data, found = self.model.createData(), []
        for x in xs:
            pin.forwardKinematics(self.model, data, x[:DOF])
            frame = pin.updateFramePlacement(self.model, data, self.model.getFrameId(TOOL_FRAME))
            found.append(np.array(frame.translation))
        return np.array(found)
