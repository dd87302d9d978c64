"""What the plant may have that the controller does not know of. Bodies are changed before the first step."""

from collections.abc import Callable

import numpy as np
import pybullet as p

from dvp_mpc_sim.bullet import BulletPlant

Actuator = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def payload(mass: float, radius: float = 0.04) -> Callable[[BulletPlant], None]:
    """A ball of this mass [kg] in the hand: on the link that carries the tool, at its centre of mass."""

    def put(plant: BulletPlant) -> None:
        link = plant._link_index(None)
        while _mass(plant, link) == 0.0:  # the tool frame itself weighs nothing
            link = p.getJointInfo(plant._body, link, physicsClientId=plant._client)[16]
        _scale(plant, link, 1 + mass / _mass(plant, link))

    return put


def inertia(factors: np.ndarray) -> Callable[[BulletPlant], None]:
    """Mass and inertia of each link times a factor: (n,), taken in turn."""

    def put(plant: BulletPlant) -> None:
        for link in range(p.getNumJoints(plant._body, physicsClientId=plant._client)):
            _scale(plant, link, float(factors[link % len(factors)]))

    return put


def friction(coulomb: np.ndarray, viscous: np.ndarray, smooth: float = 0.01) -> Actuator:
    """tau - f_c tanh(v / smooth) - f_v v: (7,) [N m], (7,) [N m s/rad], [rad/s]."""
    return lambda torque, q, v: np.asarray(torque - coulomb * np.tanh(v / smooth) - viscous * v)


def _mass(plant: BulletPlant, link: int) -> float:
    return float(p.getDynamicsInfo(plant._body, link, physicsClientId=plant._client)[0])


def _scale(plant: BulletPlant, link: int, factor: float) -> None:
    info = p.getDynamicsInfo(plant._body, link, physicsClientId=plant._client)
    diagonal = [factor * value for value in info[2]]
    p.changeDynamics(
        plant._body, link, mass=factor * info[0], localInertiaDiagonal=diagonal, physicsClientId=plant._client
    )
