"""Conditions: what is wrong in one run, made of entries of a plan and a seed.

An entry {kind: ..., parameter: value} names one disturbance; entries add up. Whatever the plan leaves open (directions, the
share of an error that falls on each link or joint) is drawn from the seed, so the same seed strikes every controller alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from dvp_mpc.disturbance import DIRECTIONS, ExternalWrench, Impulse, Profile, RandomWrench, Sine, Step, Vector
from dvp_mpc.fault_plan import STREAM, Fault, FaultPlan
from dvp_mpc.plan_file import Kinds, Parameter, read_entry, seconds
from dvp_mpc.problem.arms import DOF
from dvp_mpc_sim.actuation import Actuation
from dvp_mpc_sim.body import Body

MOST_LINKS = 32  # for which an error is drawn

_FOREVER = Parameter(np.inf, 0.0, np.inf)
_WRENCH = {
    "direction": Parameter("random", choices=(*DIRECTIONS, "random")),
    "axes": Parameter("world", choices=("world", "link")),
    "link": Parameter(None, text=True),
    "start": seconds(0.0),
}
_NEWTON = Parameter(0.0, 0.0, 1e4)

EXTERNAL: Kinds = {
    "impulse": {
        "size": _NEWTON,
        "angular": _NEWTON,
        "duration": Parameter(0.1, 1e-3, 1e3),
        **_WRENCH,
    },  # [N s], [N m s]
    "push": {"size": _NEWTON, "moment": _NEWTON, "stop": _FOREVER, **_WRENCH},  # [N], [N m]
    "sine": {
        "size": _NEWTON,
        "moment": _NEWTON,
        "frequency_hz": Parameter(1.0, 1e-3, 1e3),
        "stop": _FOREVER,
        **_WRENCH,
    },
    "random": {
        "size": _NEWTON,
        "moment": _NEWTON,
        "bandwidth_hz": Parameter(5.0, 1e-3, 1e3),
        "stop": _FOREVER,
        **_WRENCH,
    },
}
"""Wrenches, at the tool unless a link is named."""

MOTORS: Kinds = {
    "torque_bias": {"size": _NEWTON},  # [N m] on each joint, with a sign of its own
    "torque_noise": {"size": _NEWTON},  # [N m] standard deviation
    "late_commands": {"by": seconds(0.0)},
    "slow_motors": {"rate": Parameter(1000.0, 1.0, 1e6)},  # [N m/s]
    "weak_motors": {"share": Parameter(1.0, 1e-3, 1.0)},  # of the torque limits
}

_SHARE = Parameter(0.0, 0.0, 0.95)
BODY: Kinds = {
    "payload": {"mass": Parameter(0.0, 0.0, 100.0)},  # [kg] at the tool
    "masses": {"within": _SHARE},  # mass and inertia of each link, drawn from 1 +- this
    "inertias": {"within": _SHARE},  # rotational inertia alone
    "rotors": {"within": _SHARE},  # armature
    "friction": {
        "coulomb": _NEWTON,
        "viscous": _NEWTON,
    },  # [N m], [N m s/rad] of each joint, drawn from 0.5 to 1.5 times this
    "tilt": {"degrees": Parameter(0.0, 0.0, 180.0)},  # of the base, about a horizontal axis that is drawn
}
GOAL: Kinds = {"moving_goal": {"speed": Parameter(0.0, 0.0, 5.0), "radius": Parameter(0.05, 1e-3, 1.0)}}  # [m/s], [m]

_TIMED = {"start": seconds(0.0), "duration": _FOREVER}
SENSOR: Kinds = {kind: {**parameters, **_TIMED} for kind, parameters in STREAM.items()}
"""What can be wrong with the state stream: the faults of fault_plan.py."""

KINDS: Kinds = {**EXTERNAL, **MOTORS, **BODY, **GOAL, **SENSOR}


class Entry(NamedTuple):
    """One disturbance of a plan, checked."""

    kind: str
    parameters: Mapping[str, Any]

    @classmethod
    def read(cls, where: str, raw: Any) -> "Entry":
        """Raises BadSetting and UnknownChoice, which name the field and what would be right."""
        return cls(*read_entry(where, raw, KINDS, {}))

    @property
    def span(self) -> tuple[float, float]:
        """When it acts: from, until [s]; for ever unless it says otherwise."""
        get = self.parameters
        start = get.get("start", 0.0)
        return start, min(get.get("stop", np.inf), start + get.get("duration", np.inf))


class Circle(NamedTuple):
    """A goal that goes round."""

    speed: float  # [m/s]
    radius: float  # [m]

    def at(self, t: float) -> np.ndarray:
        """Where the goal is from where it was drawn, which it leaves at t = 0: (3,) [m]."""
        angle = self.speed * t / self.radius
        return self.radius * np.array([np.cos(angle) - 1, np.sin(angle), 0.0])


@dataclass(frozen=True)
class Conditions:
    """Everything that is wrong in one run; the defaults are an ideal arm that nobody touches."""

    pushes: tuple[ExternalWrench, ...] = ()
    stream: FaultPlan = field(default_factory=FaultPlan)
    actuation: Actuation = field(default_factory=Actuation)
    body: Body = field(default_factory=Body)
    goal: Circle | None = None


def conditions(entries: Sequence[Entry], seed: Sequence[int], gravity: float = 9.81) -> Conditions:
    """The conditions of one run. gravity: [m/s^2]."""
    found, faults = Conditions(), []
    for k, (kind, get) in enumerate(entries):
        rng = np.random.default_rng([*seed, k])
        if kind in EXTERNAL:
            found = replace(found, pushes=(*found.pushes, _push(kind, get, rng)))
        elif kind in MOTORS:
            found = replace(found, actuation=replace(found.actuation, **_MOTORS[kind](get, rng)))
        elif kind in BODY:
            found = replace(found, body=replace(found.body, **_BODY[kind](get, rng, gravity)))
        elif kind in GOAL:
            found = replace(found, goal=Circle(get["speed"], get["radius"]))
        else:
            of_fault = {name: value for name, value in get.items() if name not in _TIMED}
            faults.append(Fault(kind, get["start"], get["duration"], of_fault))
    stream_seed = int(np.random.default_rng([*seed, len(entries)]).integers(2**31))
    return replace(found, stream=FaultPlan(stream_seed, tuple(faults)))


def _push(kind: str, get: Mapping[str, Any], rng: np.random.Generator) -> ExternalWrench:
    along = np.array(DIRECTIONS[get["direction"]]) if get["direction"] != "random" else rng.standard_normal(3)
    along = along / np.linalg.norm(along)

    def sized(name: str) -> Vector:
        x, y, z = (get[name] * along).tolist()
        return x, y, z

    profile: Profile
    if kind == "impulse":
        profile = Impulse(sized("size"), get["start"], get["duration"], sized("angular"))
    elif kind == "push":
        profile = Step(sized("size"), get["start"], get["stop"], sized("moment"))
    elif kind == "sine":
        profile = Sine(sized("size"), get["frequency_hz"], get["start"], get["stop"], sized("moment"))
    else:
        seed = int(rng.integers(2**31))
        profile = RandomWrench(get["size"], seed, get["bandwidth_hz"], get["moment"], get["start"], get["stop"])
    return ExternalWrench(profile, get["link"], turns_with_link=get["axes"] == "link")


Drawn = dict[str, Any]

_MOTORS: dict[str, Callable[[Mapping[str, Any], np.random.Generator], Drawn]] = {
    "torque_bias": lambda get, rng: {"bias": tuple((get["size"] * rng.choice([-1.0, 1.0], DOF)).tolist())},
    "torque_noise": lambda get, rng: {"noise": get["size"], "seed": int(rng.integers(2**31))},
    "late_commands": lambda get, rng: {"delay": get["by"]},
    "slow_motors": lambda get, rng: {"rate": get["rate"]},
    "weak_motors": lambda get, rng: {"share": get["share"]},
}


def _spread(rng: np.random.Generator, within: float, n: int = MOST_LINKS) -> tuple[float, ...]:
    return tuple(rng.uniform(1 - within, 1 + within, n).tolist())


def _tilted(get: Mapping[str, Any], rng: np.random.Generator, gravity: float) -> Drawn:
    angle, about = np.radians(get["degrees"]), rng.uniform(0, 2 * np.pi)
    down = np.array([np.sin(angle) * np.cos(about), np.sin(angle) * np.sin(about), -np.cos(angle)])
    return {"gravity_in_base": tuple((gravity * down).tolist())}


_BODY: dict[str, Callable[[Mapping[str, Any], np.random.Generator, float], Drawn]] = {
    "payload": lambda get, rng, gravity: {"payload": get["mass"]},
    "masses": lambda get, rng, gravity: {"mass_factors": _spread(rng, get["within"])},
    "inertias": lambda get, rng, gravity: {"inertia_factors": _spread(rng, get["within"])},
    "rotors": lambda get, rng, gravity: {"armature_factors": _spread(rng, get["within"], DOF)},
    "friction": lambda get, rng, gravity: {
        "coulomb": tuple((get["coulomb"] * np.array(_spread(rng, 0.5, DOF))).tolist()),
        "viscous": tuple((get["viscous"] * np.array(_spread(rng, 0.5, DOF))).tolist()),
    },
    "tilt": _tilted,
}
