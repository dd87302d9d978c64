"""Disturbances: external wrenches as pure functions of time and seed.

    w(t) = [f(t); m(t)]    force [N] and moment [N m] at a link's origin, along the axes of the world or of the link

    Impulse       w = p / T                 for start <= t < start + T      (its integral is p [N s, N m s], whatever T is)
    Step          w = w0                    for start <= t < stop
    Sine          w = w0 sin(2 pi nu t)     for start <= t < stop
    RandomWrench  w = sum_i a sin(2 pi nu_i t + phi_i) per axis, nu_i below the bandwidth; root mean squares as given
    Sum           w = sum of its parts

A seeded sum of sines stands in for noise: unlike a filtered random walk it can be asked for any t, in any order and at
any rate, and gives the same wrench each time.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from dvp_mpc.errors import BadSetting, UnknownChoice

Vector = tuple[float, float, float]
ZERO: Vector = (0.0, 0.0, 0.0)

IMPULSE_DURATION = 0.1
"""How long an impulse lasts when nobody says otherwise [s]: a knock, not a hammer blow that no 1 kHz plant resolves."""

RANDOM_BANDWIDTH = 5.0
"""Bandwidth of a random wrench when nobody says otherwise [Hz]: about what a person's hand does."""


class Profile(Protocol):
    """A wrench that depends on time only."""

    def wrench(self, t: float) -> np.ndarray:
        """Force and moment at time t [s]: (6,) [N, N m]."""

    @property
    def span(self) -> tuple[float, float]:
        """When it acts: from, until [s]."""


@dataclass(frozen=True)
class Impulse:
    """A constant wrench for a short time."""

    impulse: Vector
    """Integral of the force [N s]."""
    start: float
    """[s]"""
    duration: float = IMPULSE_DURATION
    """[s]"""
    angular: Vector = ZERO
    """Integral of the moment [N m s]."""

    def __post_init__(self) -> None:
        _require("duration", self.duration, self.duration > 0, "must be positive [s]")

    @property
    def span(self) -> tuple[float, float]:
        return self.start, self.start + self.duration

    def wrench(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return np.array([*self.impulse, *self.angular]) / self.duration * _within(t, self.span)


@dataclass(frozen=True)
class Step:
    """A constant wrench from start to stop."""

    force: Vector
    """[N]"""
    start: float = 0.0
    """[s]"""
    stop: float = math.inf
    """[s]"""
    moment: Vector = ZERO
    """[N m]"""

    def __post_init__(self) -> None:
        _require("stop", self.stop, self.stop > self.start, f"must lie after start = {self.start:g} s")

    @property
    def span(self) -> tuple[float, float]:
        return self.start, self.stop

    def wrench(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return np.array([*self.force, *self.moment]) * _within(t, self.span)


@dataclass(frozen=True)
class Sine:
    """A wrench that swings about zero; its phase counts from t = 0."""

    force: Vector
    """Amplitude [N]."""
    frequency_hz: float
    start: float = 0.0
    """[s]"""
    stop: float = math.inf
    """[s]"""
    moment: Vector = ZERO
    """Amplitude [N m]."""

    def __post_init__(self) -> None:
        _require("frequency_hz", self.frequency_hz, self.frequency_hz > 0, "must be positive [Hz]")
        _require("stop", self.stop, self.stop > self.start, f"must lie after start = {self.start:g} s")

    @property
    def span(self) -> tuple[float, float]:
        return self.start, self.stop

    def wrench(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        swing = math.sin(2 * math.pi * self.frequency_hz * t) * _within(t, self.span)
        return np.array([*self.force, *self.moment]) * swing


@dataclass(frozen=True)
class RandomWrench:
    """A wrench of random direction and strength that has no content above its bandwidth."""

    rms: float
    """Root mean square of the force's norm [N]."""
    seed: int
    bandwidth_hz: float = RANDOM_BANDWIDTH
    moment_rms: float = 0.0
    """Root mean square of the moment's norm [N m]."""
    start: float = 0.0
    """[s]"""
    stop: float = math.inf
    """[s]"""

    def __post_init__(self) -> None:
        _require("rms", self.rms, self.rms >= 0, "must not be negative [N]")
        _require("moment_rms", self.moment_rms, self.moment_rms >= 0, "must not be negative [N m]")
        _require("bandwidth_hz", self.bandwidth_hz, self.bandwidth_hz > 0, "must be positive [Hz]")
        _require("stop", self.stop, self.stop > self.start, f"must lie after start = {self.start:g} s")

    @property
    def span(self) -> tuple[float, float]:
        return self.start, self.stop

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        force = 2 * np.pi * rng.uniform(0, self.bandwidth_hz, (3, 16)), rng.uniform(0, 2 * np.pi, (3, 16))
        moment = 2 * np.pi * rng.uniform(0, self.bandwidth_hz, (3, 16)), rng.uniform(0, 2 * np.pi, (3, 16))
        return np.vstack([force[0], moment[0]]), np.vstack([force[1], moment[1]])

    def wrench(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        omega, phase = self._waves
        rms = np.repeat([self.rms, self.moment_rms], 3)
        amplitude = rms * math.sqrt(
            4 / omega.size
        )  # each of 48 sines adds amplitude^2 / 2 to the mean square of its norm
        return amplitude * np.sin(omega * t + phase).sum(axis=1) * _within(t, self.span)


@dataclass(frozen=True)
class Sum:
    """Several profiles at once."""

    parts: tuple[Profile, ...]

    @property
    def span(self) -> tuple[float, float]:
        return min(part.span[0] for part in self.parts), max(part.span[1] for part in self.parts)

    def wrench(self, t: float) -> np.ndarray:
        """(6,) [N, N m]."""
        return sum((part.wrench(t) for part in self.parts), np.zeros(6))


@dataclass(frozen=True)
class ExternalWrench:
    """A profile and the link on which it acts; without a link it acts on the arm's tool frame."""

    profile: Profile
    link: str | None = None
    turns_with_link: bool = False
    """Whether the profile speaks of the link's axes, which turn with it, and not of the world's."""

    def in_world(self, t: float, rotation: Callable[[str | None], np.ndarray]) -> np.ndarray:
        """Force and moment along the world's axes at t [s]: (6,) [N, N m]. rotation(link): (3, 3), from its axes to those."""
        wrench = self.profile.wrench(t)
        if not self.turns_with_link or not wrench.any():
            return wrench
        R = rotation(self.link)
        return np.concatenate([R @ wrench[:3], R @ wrench[3:]])


def acting(
    pushes: Iterable[ExternalWrench], t: float, rotation: Callable[[str | None], np.ndarray]
) -> list[tuple[str | None, np.ndarray]]:
    """What acts at t [s]: links (None: the tool) and wrenches in the world (6,) [N, N m], as a plant takes them."""
    return [(push.link, push.in_world(t, rotation)) for push in pushes]


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
        return RandomWrench(amount, seed, *times)
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


def _within(t: float, span: tuple[float, float]) -> bool:
    return span[0] <= t < span[1]


def _require(field: str, value: float, ok: bool, requirement: str) -> None:
    if not ok:
        raise BadSetting(field, value, requirement)
