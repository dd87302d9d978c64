"""A case of a robustness study: one thing that goes wrong, at several levels, and who is to stand it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.plan_file import Parameter, read_fields
from dvp_mpc_sim.robustness.conditions import Entry

COMPUTED_TORQUE = "computed torque"
TERMINALS = ("value", "riccati", "zero")
REACH = 2.8  # [s] that an undisturbed arm is given to arrive; what happens at a time happens from here on
RECOVER = 2.0  # [s] from the end of a disturbance, or from REACH for one that never ends, until the tool must be back
FIGURES = ("success", "peak_deviation_m", "final_error_m", "violations", "fast_torque_share", "rest_share")


class ControllerSpec(NamedTuple):
    """One controller of a comparison; a plan writes "value 10", "value 10 observer", "zero 100" or "computed torque"."""

    terminal: str
    """value, riccati, zero; or computed torque, the classic baseline."""
    nodes: int = 0
    observer: bool = False

    @property
    def name(self) -> str:
        """For tables and legends."""
        if self.terminal == COMPUTED_TORQUE:
            return COMPUTED_TORQUE
        return f"{self.terminal} N={self.nodes}" + " + observer" * self.observer

    @classmethod
    def read(cls, where: str, text: Any) -> "ControllerSpec":
        """Raises BadSetting, which shows the forms."""
        words = text.split() if isinstance(text, str) else []
        if text == COMPUTED_TORQUE:
            return cls(COMPUTED_TORQUE)
        whole = len(words) in (2, 3) and words[0] in TERMINALS and words[1].isdecimal() and 1 <= int(words[1]) <= 1000
        if not whole or words[2:] not in ([], ["observer"]):
            raise BadSetting(
                where, text, f"write 'TERMINAL NODES [observer]' ({', '.join(TERMINALS)}) or '{COMPUTED_TORQUE}'"
            )
        return cls(words[0], int(words[1]), len(words) == 3)


class Bar(NamedTuple):
    """What a row must keep."""

    level: float
    controller: ControllerSpec
    figure: str
    least: float = -np.inf
    most: float = np.inf
    reason: str = ""
    """Why it is missed, where that is known: shown beside the miss."""


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong, at several levels."""

    name: str
    title: str
    unit: str
    levels: tuple[float, ...]
    entries: Mapping[float, tuple[Entry, ...]]
    """The disturbances at each level."""
    controllers: tuple[ControllerSpec, ...]
    duration: float = 6.0
    """[s] of a run."""
    curve: bool = False
    """Whether the tool error over time is kept, for bands."""
    bars: tuple[Bar, ...] = ()

    @property
    def sentence(self) -> str:
        """What is done, in a line."""
        unit = "" if self.unit == "-" else f" {self.unit}"
        levels = ", ".join(f"{level:g}" for level in self.levels) + unit
        what = self.title if self.levels == (0.0,) else f"{self.title}; levels {levels}"
        return f"{self.name}: {what}; judged from {self.over(self.levels[-1]):g} s on, runs of {self.duration:g} s"

    def over(self, level: float) -> float:
        """When the tool must be back within 1 cm, for good [s]."""
        ends = [entry.span[1] for entry in self.entries[level] if np.isfinite(entry.span[1])]
        return max([REACH, *ends]) + RECOVER

    def settling_from(self, level: float) -> float:
        """From when the settling time counts [s]: the end of a disturbance, or the start where it never ends."""
        ends = any(np.isfinite(entry.span[1]) for entry in self.entries[level])
        return self.over(level) - RECOVER if ends else 0.0

    def begins(self, level: float) -> float:
        """When it begins [s]: deviations count from here or from REACH, whichever is later."""
        return max(REACH, min((entry.span[0] for entry in self.entries[level]), default=REACH))


def read_controllers(where: str, raw: Any) -> tuple[ControllerSpec, ...]:
    """The controllers that a list of texts names."""
    return tuple(ControllerSpec.read(f"{where}[{k}]", text) for k, text in enumerate(read_list(where, raw)))


def read_case(name: str, raw: Any, specs: Sequence[ControllerSpec]) -> Case:
    where = f"cases.{name}"
    get = read_fields(
        where, raw, ("title", "unit", "levels", "duration", "controllers", "curve", "disturbances", "bars")
    )
    levels = read_list(f"{where}.levels", get.get("levels", [0]))
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        raise BadSetting(f"{where}.levels", levels, "must be numbers")
    if sorted(set(levels)) != levels:
        raise BadSetting(f"{where}.levels", levels, "must rise")
    disturbances = get.get("disturbances", [])
    if not isinstance(disturbances, list):
        raise BadSetting(f"{where}.disturbances", disturbances, "must be a list")
    entries = {
        float(level): tuple(
            Entry.read(f"{where}.disturbances[{k}]", _at_level(entry, level)) for k, entry in enumerate(disturbances)
        )
        for level in levels
    }
    specs = read_controllers(f"{where}.controllers", get["controllers"]) if "controllers" in get else specs
    curve = get.get("curve", False)
    if not isinstance(curve, bool):
        raise BadSetting(f"{where}.curve", curve, "must be true or false")
    case = Case(
        name,
        read_text(f"{where}.title", get.get("title", name)),
        read_text(f"{where}.unit", get.get("unit", "-")),
        tuple(map(float, levels)),
        entries,
        tuple(specs),
        Parameter(6.0, 1.0, 1e3).read(f"{where}.duration", get.get("duration", 6.0)),
        curve,
        tuple(
            _bar(f"{where}.bars[{k}]", bar, levels, specs) for k, bar in enumerate(_bars(where, get.get("bars", [])))
        ),
    )
    latest = max(case.over(level) for level in case.levels)
    if case.duration < latest + 0.5:
        raise BadSetting(
            f"{where}.duration", case.duration, f"must be at least {latest + 0.5:g} s, to see the tool stay"
        )
    return case


def _at_level(entry: Any, level: float) -> Any:
    """The entry with `level` and {per_level: a} put in."""
    if not isinstance(entry, dict):
        return entry
    return {
        key: level
        if value == "level"
        else value["per_level"] * level
        if isinstance(value, dict) and isinstance(value.get("per_level"), int | float)
        else value
        for key, value in entry.items()
    }


def _bars(where: str, raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise BadSetting(f"{where}.bars", raw, "must be a list")
    return raw


def _bar(where: str, raw: Any, levels: Sequence[float], specs: Sequence[ControllerSpec]) -> Bar:
    get = read_fields(where, raw, ("level", "controller", "figure", "least", "most", "reason"))
    if get.get("level") not in levels:
        raise UnknownChoice(f"{where}.level", get.get("level"), levels)
    spec = ControllerSpec.read(f"{where}.controller", get.get("controller"))
    if spec not in specs:
        raise UnknownChoice(f"{where}.controller", spec.name, [s.name for s in specs])
    if get.get("figure") not in FIGURES:
        raise UnknownChoice(f"{where}.figure", get.get("figure"), FIGURES)
    number = Parameter(None, -1e9, 1e9)
    limits = {key: number.read(f"{where}.{key}", get[key]) for key in ("least", "most") if key in get}
    if not limits:
        raise BadSetting(where, dict(get), "needs least or most")
    return Bar(float(get["level"]), spec, get["figure"], **limits, reason=str(get.get("reason", "")))


def read_list(where: str, raw: Any) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise BadSetting(where, raw, "must be a list, not empty")
    return raw


def read_text(where: str, raw: Any) -> str:
    if not isinstance(raw, str):
        raise BadSetting(where, raw, "must be a text")
    return raw
