"""Faults: what goes wrong with a state stream or inside a solver, on purpose, by a plan and a seed. Pure and clock-free.

    message -> first fault -> second fault -> ... -> what arrives

A fault acts on what reaches it while start <= t < start + duration. The same plan and the same messages give the same
faults: each fault has a generator of its own, made of the seed and its place in the plan.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from dvp_mpc.fault_plan import ROUNDING, STREAM, Fault, FaultPlan
from dvp_mpc.messages import JointMessage
from dvp_mpc.value import BoundValue, GoalFrame, ValueFunction

__all__ = ["FailingValue", "Fault", "FaultPlan", "Injector"]


class Injector:
    """Puts a plan's faults on one stream of joint messages."""

    def __init__(self, plan: FaultPlan):
        faults = [(fault, np.random.default_rng([plan.seed, k])) for k, fault in enumerate(plan.faults)]
        self._stages = [_Stage(fault, rng) for fault, rng in faults if fault.kind in STREAM]

    def deliver(self, t: float, message: JointMessage | None = None) -> list[JointMessage]:
        """What arrives at time t [s], given that `message` was sent (None: nothing was).

        Late ones come out of later calls, after what is fresh: a receiver that keeps the newest arrival is left with them.
        """
        messages = [] if message is None else [message]
        for stage in self._stages:
            messages = stage(t, messages)
        return messages


class _Stage:
    """One fault at work."""

    def __init__(self, fault: Fault, rng: np.random.Generator):
        self._fault, self._get, self._rng = fault, fault.parameters, rng
        routes = {
            "off": self._off,
            "slow": self._slow,
            "delayed": self._delayed,
            "intermittent": self._intermittent,
            "reorder": self._reorder,
            "duplicate": self._duplicate,
        }
        self._route = routes.get(fault.kind, self._change)
        self._late: list[tuple[float, JointMessage]] = []
        self._first: JointMessage  # that the fault has met
        self._seen = 0
        self._lost: range = range(0)

    def __call__(self, t: float, messages: Sequence[JointMessage]) -> list[JointMessage]:
        fresh = []
        for message in messages:
            if not self._fault.active(t):
                fresh.append(message)
                continue
            if self._seen == 0:
                self._first = message
            for delay, changed in self._route(message):
                if delay > 0:
                    self._late.append((t + delay, changed))
                else:
                    fresh.append(changed)
            self._seen += 1
        self._late.sort(key=lambda entry: entry[0])
        due = [entry for entry in self._late if entry[0] <= t + ROUNDING]
        del self._late[: len(due)]
        return fresh + [message for _, message in due]

    def _change(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        return [(0.0, _CHANGES[self._fault.kind](message, self._first, self._get, self._rng))]

    def _off(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        return []

    def _slow(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        return [(0.0, message)] if self._seen % self._get["every"] == 0 else []

    def _delayed(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        return [(self._get["by"] + self._get["jitter"] * self._rng.random(), message)]

    def _intermittent(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        burst, every = self._get["burst"], self._get["every"]
        if burst is None:
            return [] if self._rng.random() < self._get["loss"] else [(0.0, message)]
        if self._seen % every == 0:  # the last `burst` of each round always arrive, so that no two bursts join
            begin = self._seen + int(self._rng.integers(every - 2 * burst + 1))
            self._lost = range(begin, begin + burst)
        return [] if self._seen in self._lost else [(0.0, message)]

    def _reorder(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        return [(self._get["by"] if self._rng.random() < self._get["share"] else 0.0, message)]

    def _duplicate(self, message: JointMessage) -> list[tuple[float, JointMessage]]:
        again = [(self._get["by"], message)] if self._rng.random() < self._get["share"] else []
        return [(0.0, message), *again]


def _stuck(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    return first._replace(stamp_ns=message.stamp_ns)


def _garbage(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    bits = [np.frombuffer(rng.bytes(8 * int(n))).tolist() for n in rng.integers(0, 15, 2)]
    names = [rng.bytes(int(n)).decode("latin-1") for n in rng.integers(0, 20, int(rng.integers(0, 15)))]
    keep = rng.integers(0, 2, 3)  # what is right about it; all wrong alike would all fall to the first check
    whole = np.frombuffer(rng.bytes(8 * len(message.position))).tolist() if keep.all() else None
    return JointMessage(
        message.names if keep[0] else names,
        whole or (message.position if keep[1] else bits[0]),
        message.velocity if keep[2] else bits[1],
        message.stamp_ns if rng.random() < 0.5 else int(rng.integers(-(2**63), 2**63 - 1)),
    )


def _wrong(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    how = get["how"] if get["how"] != "any" else str(rng.choice(["names", "missing", "doubled", "sizes"]))
    names, position, velocity = list(message.names), list(message.position), list(message.velocity)
    if how == "names":
        return message._replace(names=[f"other_{name}" for name in names])
    if how == "missing":
        return message._replace(names=names[:-1], position=position[:-1], velocity=velocity[:-1])
    if how == "doubled":
        return message._replace(names=names[:-1] + names[:1])
    return message._replace(velocity=velocity[:-1])


def _nan(message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator) -> JointMessage:
    value = float(get["value"])
    if get["where"] == "position":
        return message._replace(position=_with(message.position, get["joint"], value))
    return message._replace(velocity=_with(message.velocity, get["joint"], value))


def _size(message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator) -> JointMessage:
    n = get["elements"]
    return message._replace(names=[f"joint{k}" for k in range(n)], position=[0.0] * n, velocity=[0.0] * n)


def _jump(message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator) -> JointMessage:
    return message._replace(position=_with(message.position, get["joint"], get["by"], add=True))


def _noise(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    """White, with these standard deviations."""
    return _moved(
        message, *(get[name] * rng.standard_normal(len(message.position)) for name in ("position", "velocity"))
    )


def _bias(message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator) -> JointMessage:
    """The same on every joint."""
    return _moved(message, get["position"], get["velocity"])


def _quantised(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    """Rounded to whole steps of an encoder, and of whatever makes velocities of it."""
    q, v = np.array(message.position), np.array(message.velocity)
    steps = [(get["position"], q), (get["velocity"], v)]
    return _moved(message, *(0.0 if step == 0 else np.round(x / step) * step - x for step, x in steps))


def _moved(message: JointMessage, dq: np.ndarray | float, dv: np.ndarray | float) -> JointMessage:
    if len(message.velocity) != len(message.position):  # an earlier fault has cut it short
        return message
    q, v = np.array(message.position) + dq, np.array(message.velocity) + dv
    return message._replace(position=q.tolist(), velocity=v.tolist())


def _stamp(
    message: JointMessage, first: JointMessage, get: Mapping[str, Any], rng: np.random.Generator
) -> JointMessage:
    by = round(1e9 * get["by"])
    stamps = {
        "zero": 0,
        "future": message.stamp_ns + by,
        "old": message.stamp_ns - by,
        "other clock": message.stamp_ns - first.stamp_ns + by,  # one that read `by` when the fault began
    }
    return message._replace(stamp_ns=stamps[get["how"]])


def _with(values: Sequence[float], joint: int, value: float, *, add: bool = False) -> list[float]:
    at = joint % max(len(values), 1)  # a message that an earlier fault has cut short has no such joint
    return [(x + value if add else value) if k == at else x for k, x in enumerate(values)]


_CHANGES = {
    "stuck": _stuck,
    "garbage": _garbage,
    "wrong": _wrong,
    "nan": _nan,
    "size": _size,
    "jump": _jump,
    "noise": _noise,
    "bias": _bias,
    "quantised": _quantised,
    "stamp": _stamp,
}


@dataclass(frozen=True, eq=False)
class FailingValue:
    """A terminal value that does what the plan's `solver` faults say, inside the solver; sound at other times."""

    terminal: ValueFunction
    plan: FaultPlan
    clock: Callable[[], float]
    """Seconds since the plan began."""

    def at(self, goal: GoalFrame) -> BoundValue:
        return _FailingBound(self.terminal.at(goal), self)

    def fail(self) -> bool:
        """Fail now if the plan says so; True asks for NaN."""
        faults = self.plan.active(self.clock(), "solver")
        how = faults[0].parameters["how"] if faults else ""
        if how == "raise":
            raise RuntimeError("injected: the solver raises")
        if how == "abort":
            os.abort()
        if how == "hang":
            Event().wait()
        return how == "nan"


class _FailingBound:
    def __init__(self, sound: BoundValue, owner: FailingValue):
        self._sound, self._owner = sound, owner

    def cost(self, x: np.ndarray, t: np.ndarray) -> float:
        return float("nan") if self._owner.fail() else self._sound.cost(x, t)

    def derivatives(self, x: np.ndarray, t: np.ndarray, Jt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        Vx, Vxx = self._sound.derivatives(x, t, Jt)
        return (np.nan * Vx, np.nan * Vxx) if self._owner.fail() else (Vx, Vxx)
