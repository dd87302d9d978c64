"""ReachTask: bring the tool of an arm to a point and rest there.

    l(x, u) = dt/2 ( w_tool ||p(q) - p_g||^2 + w_posture ||q - q_g||^2 + w_velocity ||v||^2
                     + w_torque ||u - g(q)||^2 + w_limits ||barrier(x)||^2 )

q_g is the posture nearest to home whose tool is at p_g. With it every term vanishes at (q_g, 0, g(q_g)), so the infinite
horizon value exists; a posture term about a fixed home would make it grow without bound.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import crocoddyl
import numpy as np

from dvp_mpc.errors import BadSetting, GoalError
from dvp_mpc.problem.arm import Arm
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.posture import REACHED, nearest_posture
from dvp_mpc.problem.reach_settings import ReachBox, ReachWeights
from dvp_mpc.problem.region import Region
from dvp_mpc.problem.riccati import riccati_root
from dvp_mpc.problem.task import Goal

# What motions from the start box pass through on their way (60 of them went 0.56 rad beyond it), and training has seen.
POSTURE_AROUND = 0.6  # [rad] beyond the start box
SPEED_AROUND = 1.1  # [-] of the velocity limits
# Goal postures lie up to 0.1 rad outside even that. Training starts near them too, a start box's half-width away and less.
GOAL_AROUND = 0.2  # [rad] beyond the goal posture


@dataclass(frozen=True, eq=False)
class ReachTask:
    """Reaching with one arm; see the top of this file for the cost."""

    arm: Arm
    weights: ReachWeights = field(default_factory=ReachWeights)
    box: ReachBox = field(default_factory=ReachBox)
    dt: float = 0.01
    """Time step of a node [s]."""

    def __post_init__(self) -> None:
        if not 0 < self.dt <= 0.1:
            raise BadSetting("dt", self.dt, "must lie in (0, 0.1] s")

    def __getstate__(self) -> dict[str, object]:
        return {k: getattr(self, k) for k in ("arm", "weights", "box", "dt")}  # Crocoddyl's objects do not pickle

    nx, nu, nt, nc, angles = 2 * DOF, DOF, 3, DOF, DOF

    @cached_property
    def state_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Soft limits of [q; v]: the arm's own, shrunk about their middle by the margin: (14,), (14,) [rad, rad/s]."""
        arm, keep = self.arm, 1 - self.weights.limit_margin
        middle, half = (arm.lower + arm.upper) / 2, (arm.upper - arm.lower) / 2
        lower = np.concatenate([middle - keep * half, -keep * arm.velocity_limit])
        upper = np.concatenate([middle + keep * half, keep * arm.velocity_limit])
        return lower, upper

    @cached_property
    def start_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Start states [q; v] that the value is trusted on: (14,), (14,) [rad, rad/s]."""
        arm, half, speed = self.arm, np.array(self.box.posture), np.minimum(self.box.speed, self.arm.velocity_limit)
        lower = np.maximum(arm.home - half, arm.lower + self.box.margin)
        upper = np.minimum(arm.home + half, arm.upper - self.box.margin)
        return np.concatenate([lower, -speed]), np.concatenate([upper, speed])

    @cached_property
    def region(self) -> Region:
        """Where the value was trained: the start box, what motions from there pass through, and the goal box.

        Cut at the joints' own limits: beyond them there was no training, however far the motions would reach.
        """
        arm, (lower, upper), fastest = self.arm, self.start_box, SPEED_AROUND * self.arm.velocity_limit
        return Region(
            lower=np.concatenate([np.maximum(lower[:DOF] - POSTURE_AROUND, arm.lower), -fastest]),
            upper=np.concatenate([np.minimum(upper[:DOF] + POSTURE_AROUND, arm.upper), fastest]),
            around=np.repeat([GOAL_AROUND, 0.0], DOF),
            state_lower=np.concatenate([arm.lower, -fastest]),
            state_upper=np.concatenate([arm.upper, fastest]),
            goal_lower=np.array(self.box.goal_lower) - 2 * REACHED,  # `goal` takes points that far out
            goal_upper=np.array(self.box.goal_upper) + 2 * REACHED,
        )

    def trusts(self, x: np.ndarray, goal: Goal | None = None) -> bool:
        """Whether x (14,) lies where the value was trained, for this goal or, unset, for any."""
        return self.region.score(x, goal) <= 1

    def describe(self) -> dict[str, object]:
        """Everything that makes this problem this problem, as plain data."""
        arm = self.arm
        return {
            "task": "reach",
            "arm": arm.name,
            "joint_names": list(arm.joint_names),
            "tool_frame": arm.tool_frame,
            "locked": dict(arm.locked),
            "dt": self.dt,
            "weights": asdict(self.weights),
            "box": self.box.describe(),
            "home": arm.home.tolist(),
            "armature": arm.armature.tolist(),
            "torque_limit": arm.torque_limit.tolist(),
            "velocity_limit": arm.velocity_limit.tolist(),
            "position_lower": arm.lower.tolist(),
            "position_upper": arm.upper.tolist(),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the description and of the arm's dynamics, sampled where a change of any inertia shows."""
        facts = self.describe()
        probe = np.linspace(0.2, 0.8, DOF)
        q = self.arm.lower + probe * (self.arm.upper - self.arm.lower)
        dynamics = np.concatenate(
            [self.arm.mass_matrix(q).ravel(), self.arm.nonlinear_effects(q, probe), self.arm.tool_in_world(q)]
        )
        dynamics[np.abs(dynamics) < 1e-9] = 0.0  # rounding noise, different on every machine
        facts["dynamics"] = [f"{value:.6e}" for value in dynamics]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def tool(self, x: np.ndarray) -> np.ndarray:
        """Tool position in the world: (3,) [m]."""
        return self.arm.tool_in_world(x[:DOF])

    def tool_jacobian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tool position (3,) [m] and its Jacobian (3, 14); the columns of the velocity are zero."""
        p, J = self.arm.tool_jacobian_in_world(x[:DOF])
        return p, np.hstack([J, np.zeros_like(J)])

    @cached_property
    def state(self) -> crocoddyl.StateMultibody:
        return crocoddyl.StateMultibody(self.arm.model)

    def goal(self, goal_in_world: np.ndarray) -> Goal:
        """The goal whose tool is at goal_in_world: (3,) [m].

        Raises GoalError, naming the distance, when the point is outside the box or no posture within the limits reaches it.
        """
        point = np.asarray(goal_in_world, dtype=float)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise GoalError(f"goal {goal_in_world!r}: must be three finite coordinates [m]", float("nan"))
        lower, upper = np.array(self.box.goal_lower), np.array(self.box.goal_upper)
        outside = float(np.linalg.norm(point - np.clip(point, lower, upper)))
        if outside > REACHED:  # so that a goal read back from its posture is still a goal
            raise GoalError(
                f"goal {_text(point)} m is {outside:.3f} m outside the trained box {_text(lower)} to {_text(upper)} m",
                outside,
            )
        beside = float(np.hypot(*point[:2]))
        if beside < self.box.column:
            raise GoalError(
                f"goal {_text(point)} m is {beside:.3f} m from the vertical through the base, must be {self.box.column:g} m",
                self.box.column - beside,
            )
        return self._rest(self.goal_posture(point), trained=True)

    def stay(self, q: np.ndarray) -> Goal:
        """The goal to rest in the posture q (7,) [rad], or as near to it as the soft limits let it be."""
        lower, upper = (limit[:DOF] for limit in self.state_limits)
        return self._rest(np.clip(q, lower, upper), trained=False)

    def _rest(self, q: np.ndarray, trained: bool) -> Goal:
        x, u = np.concatenate([q, np.zeros(DOF)]), self.arm.gravity_torque(q)
        # The point that the posture reaches, not the one asked for: the running cost then vanishes to rounding.
        bare = Goal(x, u, self.arm.tool_in_world(q), q, np.eye(self.nx), trained)
        return replace(bare, root=riccati_root(self.running_model(bare), x, u))

    def goal_posture(self, point: np.ndarray) -> np.ndarray:
        """The posture nearest to home, within the soft limits, whose tool is at the point (3,) [m]: (7,) [rad].

        Raises GoalError, naming the distance, when none is found.
        """
        lower, upper = (limit[:DOF] for limit in self.state_limits)
        q = nearest_posture(self.arm, point, lower, upper, self.box.postures)
        distance = float(np.linalg.norm(point - self.arm.tool_in_world(q)))
        if distance > REACHED:
            raise GoalError(
                f"goal {_text(point)} m is out of reach of '{self.arm.name}': nearest posture is {distance:.3f} m away",
                distance,
            )
        return q

    def stoppable(self, x: np.ndarray) -> np.ndarray:
        """States (n, 14) with their speeds cut so that no joint must pass its soft limit, if the box asks for it."""
        if self.box.braking is None:
            return x
        (lower, upper), q, v = self.state_limits, x[:, :DOF], x[:, DOF:]
        room = np.where(v > 0, upper[:DOF] - q, q - lower[:DOF])
        fastest = np.sqrt(2 * self.box.braking * np.maximum(room, 0.0))
        return np.hstack([q, np.clip(v, -fastest, fastest)])

    def sample_goal(self, rng: np.random.Generator) -> Goal:
        """A goal drawn uniformly from the reachable part of the box."""
        base, reach = self.arm.reach
        for _ in range(1000):
            point = rng.uniform(self.box.goal_lower, self.box.goal_upper)
            if (
                np.linalg.norm(point - base) > reach
            ):  # to find that out by inverse kinematics takes a hundred times as long
                continue
            try:
                return self.goal(point)
            except GoalError:
                continue
        raise GoalError(f"no point of the goal box is within reach of '{self.arm.name}'", float("nan"))

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """The running node: cost of the file's head, forward dynamics, semi-implicit Euler step, torque bounds."""
        state, w, nu = self.state, self.weights, self.nu
        lower, upper = self.state_limits
        residuals = {
            "tool": (w.tool, None, crocoddyl.ResidualModelFrameTranslation(state, self.arm.tool_id, goal.tool, nu)),
            "state": (
                1.0,
                crocoddyl.ActivationModelWeightedQuad(np.repeat([w.posture, w.velocity], DOF)),
                crocoddyl.ResidualModelState(state, goal.x, nu),
            ),
            "torque": (w.torque, None, crocoddyl.ResidualModelControlGrav(state, nu)),
            "limits": (
                w.limits,
                crocoddyl.ActivationModelQuadraticBarrier(crocoddyl.ActivationBounds(lower, upper)),
                crocoddyl.ResidualModelState(state, nu),
            ),
        }
        costs = crocoddyl.CostModelSum(state, nu)
        for name, (weight, activation, residual) in residuals.items():
            cost = (residual,) if activation is None else (activation, residual)
            costs.addCost(name, crocoddyl.CostModelResidual(state, *cost), weight)
        actuation = crocoddyl.ActuationModelFull(state)
        dynamics = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
        node = crocoddyl.IntegratedActionModelEuler(dynamics, self.dt)
        node.u_lb, node.u_ub = -self.arm.torque_limit, self.arm.torque_limit
        return node

    def retarget(self, model: crocoddyl.ActionModelAbstract, goal: Goal) -> None:
        """Move a running node made by this task to another goal, in place."""
        costs = model.differential.costs.costs
        costs["tool"].cost.residual.reference = goal.tool
        costs["state"].cost.residual.reference = goal.x


def _text(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in point) + ")"
