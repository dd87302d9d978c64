"""The paper's pendulum and cartpole: the dynamics of Gymnasium's classic control, as native Crocoddyl nodes.

    l = dt (w_x ||x||^2 + w_u ||u||^2),   x = (q, v)                                     (paper, eq. 11, times the time step)

Both are rigid bodies, so Pinocchio's forward dynamics give Gymnasium's equations of motion to rounding, with derivatives, and
a solve of 400 nodes takes some 50 ms instead of seconds. The paper's control is not bounded and neither is ours: Gymnasium's
limits (pendulum 2 N m and 8 rad/s, cartpole a push of 10 N either way) are left out. Angles are measured from upright and not
wrapped: x = (2 pi, 0) is another state than the goal, which keeps l smooth; a start below upright swings up on its own side.
"""

from dataclasses import dataclass

import crocoddyl
import numpy as np
import pinocchio as pin

from dvp_mpc.problem.systems import WeightedTask
from dvp_mpc.problem.task import Goal


@dataclass(frozen=True, eq=False)
class Pendulum(WeightedTask):
    """x = (angle from upright [rad], its rate [rad/s]), u = (torque [N m],); a rod of 1 kg and 1 m, g = 10 m/s^2.

    acceleration = 3 g / (2 l) sin(angle) + 3 / (m l^2) torque, integrated by semi-implicit Euler: Gymnasium's Pendulum-v1.
    """

    w_x: float = 1.0
    w_u: float = 0.1
    dt: float = 0.05
    half_widths: tuple[float, float] = (np.pi, 2.0)  # of the start box

    nx, nu = 2, 1

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """Semi-implicit Euler over forward dynamics."""
        model = pin.Model()
        model.gravity.linear = np.array([0.0, 0.0, -10.0])
        _append_rod(model, 0, mass=1.0, half_length=0.5)
        state = crocoddyl.StateMultibody(model)
        return _node(state, crocoddyl.ActuationModelFull(state), self.w_x, self.w_u, self.dt)


@dataclass(frozen=True, eq=False)
class Cartpole(WeightedTask):
    """x = (cart [m], angle from upright [rad], their rates), u = (force on the cart [N],).

    Cart of 1 kg, pole of 0.1 kg and 1 m, g = 9.8 m/s^2, no friction: Gymnasium's CartPole-v1, whose state is ordered (cart,
    its rate, angle, its rate). Semi-implicit Euler, which Gymnasium has as kinematics_integrator = "semi-implicit-euler";
    its default, explicit Euler, moves positions by the old rates instead, dt^2 times the acceleration away each step.
    """

    w_x: float = 1.0
    w_u: float = 0.1
    dt: float = 0.02
    half_widths: tuple[float, float, float, float] = (1.0, 0.5, 1.0, 1.0)  # of the start box

    nx, nu = 4, 1

    def running_model(self, goal: Goal) -> crocoddyl.ActionModelAbstract:
        """Semi-implicit Euler over forward dynamics."""
        model = pin.Model()
        model.gravity.linear = np.array([0.0, 0.0, -9.8])
        cart = model.addJoint(0, pin.JointModelPX(), pin.SE3.Identity(), "cart")
        model.appendBodyToJoint(cart, pin.Inertia(1.0, np.zeros(3), np.zeros((3, 3))), pin.SE3.Identity())
        _append_rod(model, cart, mass=0.1, half_length=0.5)
        state = crocoddyl.StateMultibody(model)
        return _node(state, _ForceOnCart(state), self.w_x, self.w_u, self.dt)


class _ForceOnCart(crocoddyl.ActuationModelAbstract):
    """tau = (u, 0). In Python because Crocoddyl's under-actuated models want the passive joints first, and a pole that is
    free is the last; it costs a microsecond a node, since everything else stays native."""

    def __init__(self, state: crocoddyl.StateMultibody):
        super().__init__(state, 1)

    def createData(self) -> crocoddyl.ActuationDataAbstract:
        data = super().createData()
        data.dtau_du = np.array([1.0, 0.0])
        return data

    def calc(self, data: crocoddyl.ActuationDataAbstract, x: np.ndarray, u: np.ndarray) -> None:
        data.tau = np.array([u[0], 0.0])

    def calcDiff(self, data: crocoddyl.ActuationDataAbstract, x: np.ndarray, u: np.ndarray) -> None:
        """Constant, set in createData."""


def _append_rod(model: pin.Model, parent: int, mass: float, half_length: float) -> None:
    """A uniform thin rod on a hinge about y, upright at zero."""
    hinge = model.addJoint(parent, pin.JointModelRY(), pin.SE3.Identity(), "hinge")
    about_centre = mass * half_length**2 / 3
    inertia = pin.Inertia(mass, np.array([0.0, 0.0, half_length]), np.diag([about_centre, about_centre, 0.0]))
    model.appendBodyToJoint(hinge, inertia, pin.SE3.Identity())


def _node(
    state: crocoddyl.StateMultibody,
    actuation: crocoddyl.ActuationModelAbstract,
    w_x: float,
    w_u: float,
    dt: float,
) -> crocoddyl.ActionModelAbstract:
    nu = actuation.nu
    costs = crocoddyl.CostModelSum(state, nu)
    errors = {
        "state": (crocoddyl.ResidualModelState(state, state.zero(), nu), w_x),
        "control": (crocoddyl.ResidualModelControl(state, nu), w_u),
    }
    for name, (residual, weight) in errors.items():
        costs.addCost(name, crocoddyl.CostModelResidual(state, residual), 2 * weight)  # Crocoddyl's has a 1/2
    return crocoddyl.IntegratedActionModelEuler(
        crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs), dt
    )
