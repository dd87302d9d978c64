"""Disturbances: external wrenches as pure functions of time and seed.

    w(t) = [f(t); 0]    force [N] in the world, acting at the origin of a link's frame; the moment [N m] stays zero

    Impulse      f = p / T             for start <= t < start + T      (its integral is p [N s], whatever T is)
    Step         f = f0                for start <= t < stop
    Sine         f = f0 sin(2 pi nu t)
    RandomForce  f = sum_i a sin(2 pi nu_i t + phi_i) per axis, nu_i below the bandwidth; root mean square as given
    Sum          f = sum of its parts

A seeded sum of sines stands in for noise: unlike a filtered random walk it can be asked for any t, in any order and at
any rate, and gives the same force each time.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from dvp_mpc.errors import BadSetting, UnknownChoice

Vector = tuple[float, float, float]

IMPULSE_DURATION = 0.1
"""How long an impulse lasts when nobody says otherwise [s]: a knock, not a hammer blow that no 1 kHz plant resolves."""

RANDOM_BANDWIDTH = 5.0
"""Bandwidth of a random force when nobody says otherwise [Hz]: about what a person's hand does."""


class Profile(Protocol):
    """A wrench that depends on time only."""

    def wrench_in_world(self, t: float) -> np.ndarray:
        """Force and moment at time t [s]: (6,) [N, N m]."""


@dataclass(frozen=True)
class Impulse:
    """A constant force for a short time."""

    impulse_in_world: Vector
    """Integral of the force [N s]."""
    start: float
    """[s]"""
    duration: float = IMPULSE_DURATION
    """[s]"""

    def __post_init__(self) -> None:
        _require("duration", self.duration, self.duration > 0, "must be positive [s]")

    def wrench_in_world(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        active = self.start <= t < self.start + self.duration
        return _force(np.array(self.impulse_in_world) / self.duration * active)


@dataclass(frozen=True)
class Step:
    """A constant force from start to stop."""

    force_in_world: Vector
    """[N]"""
    start: float
    """[s]"""
    stop: float = math.inf
    """[s]"""

    def __post_init__(self) -> None:
        _require("stop", self.stop, self.stop > self.start, f"must lie after start = {self.start:g} s")

    def wrench_in_world(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return _force(np.array(self.force_in_world) * (self.start <= t < self.stop))


@dataclass(frozen=True)
class Sine:
    """A force that swings about zero."""

    force_in_world: Vector
    """Amplitude [N]."""
    frequency_hz: float

    def __post_init__(self) -> None:
        _require("frequency_hz", self.frequency_hz, self.frequency_hz > 0, "must be positive [Hz]")

    def wrench_in_world(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return _force(np.array(self.force_in_world) * math.sin(2 * math.pi * self.frequency_hz * t))


@dataclass(frozen=True)
class RandomForce:
    """A force of random direction and strength that has no content above its bandwidth."""

    rms: float
    """Root mean square of the force's norm [N]."""
    seed: int
    bandwidth_hz: float = RANDOM_BANDWIDTH

    def __post_init__(self) -> None:
        _require("rms", self.rms, self.rms >= 0, "must not be negative [N]")
        _require("bandwidth_hz", self.bandwidth_hz, self.bandwidth_hz > 0, "must be positive [Hz]")

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        return 2 * np.pi * rng.uniform(0, self.bandwidth_hz, (3, 16)), rng.uniform(0, 2 * np.pi, (3, 16))

    def wrench_in_world(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        omega, phase = self._waves
        amplitude = self.rms * math.sqrt(2 / omega.size)  # each sine contributes amplitude^2 / 2 to the mean square
        return _force(amplitude * np.sin(omega * t + phase).sum(axis=1))


@dataclass(frozen=True)
class Sum:
    """Several profiles at once."""

    parts: tuple[Profile, ...]

    def wrench_in_world(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return sum((part.wrench_in_world(t) for part in self.parts), np.zeros(6))


@dataclass(frozen=True)
class ExternalWrench:
    """A profile and the link on which it acts; without a link it acts on the arm's tool frame."""

    profile: Profile
    link: str | None = None


FORMS = {
    "impulse": "impulse:NS@T (N s at T s)",
    "push": "push:N@T0-T1 (N from T0 s to T1 s)",
    "sine": "sine:N@FHz (amplitude N)",
    "random": f"random:N or random:N@FHz (rms N below F Hz, {RANDOM_BANDWIDTH:g} unless told)",
}
"""What `parse_disturbance` understands. Each form may end in a direction, as in "impulse:5@1.5/-z"."""

DIRECTIONS: dict[str, Vector] = {
    "+x": (1, 0, 0),
    "-x": (-1, 0, 0),
    "+y": (0, 1, 0),
    "-y": (0, -1, 0),
    "+z": (0, 0, 1),
    "-z": (0, 0, -1),
}
"""World directions by name; "random" is one more, drawn from the seed."""

_NUMBER = r"(\d+\.?\d*|\.\d+)"
_WHEN = {
    "impulse": re.compile(rf"@{_NUMBER}"),
    "push": re.compile(rf"@{_NUMBER}-{_NUMBER}"),
    "sine": re.compile(rf"@{_NUMBER}Hz"),
    "random": re.compile(rf"(?:@{_NUMBER}Hz)?"),
}
_DIRECTED: dict[str, Callable[..., Profile]] = {"impulse": Impulse, "push": Step, "sine": Sine}


def parse_disturbance(text: str, *, seed: int = 0, link: str | None = None) -> ExternalWrench:
    """Read a command line text such as "impulse:5@1.5", "push:20@1-4/+x" or "sine:10@0.5Hz,random:5".

    Commas add profiles up. The direction is -y, sideways for an arm that faces +x, unless told. Raises UnknownChoice
    for an unknown kind or direction and BadSetting for the rest; both list what would have worked.
    """
    parts = tuple(_parse_profile(part.strip(), seed + i) for i, part in enumerate(text.split(",")))
    return ExternalWrench(parts[0] if len(parts) == 1 else Sum(parts), link)


def _parse_profile(text: str, seed: int) -> Profile:
    body, _, direction = text.partition("/")
    kind, _, rest = body.partition(":")
    if kind not in FORMS:
        raise UnknownChoice("disturbance", text, FORMS.values())
    size = re.match(_NUMBER, rest)
    when = _WHEN[kind].fullmatch(rest, size.end()) if size else None
    if size is None or when is None:
        raise BadSetting("disturbance", text, f"write {FORMS[kind]}")
    amount, times = float(size[0]), [float(number) for number in when.groups() if number is not None]
    if kind == "random":
        if direction:
            raise BadSetting("disturbance", text, "a random force takes no direction")
        return RandomForce(amount, seed, *times)
    x, y, z = _direction(direction or "-y", seed)
    return _DIRECTED[kind]((amount * x, amount * y, amount * z), *times)


def _direction(name: str, seed: int) -> Vector:
    if name == "random":
        x, y, z = np.random.default_rng(seed).normal(size=3)
        norm = math.hypot(x, y, z)
        return (x / norm, y / norm, z / norm)
    if name not in DIRECTIONS:
        raise UnknownChoice("direction of a disturbance", name, [*DIRECTIONS, "random"])
    return DIRECTIONS[name]


def _force(force_in_world: np.ndarray) -> np.ndarray:
    return np.concatenate([force_in_world, np.zeros(3)])


def _require(field: str, value: float, ok: bool, requirement: str) -> None:
    if not ok:
        raise BadSetting(field, value, requirement)
