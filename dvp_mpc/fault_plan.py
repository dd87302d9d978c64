"""The plan of what is to go wrong on purpose: a YAML file, read once and refused by field name.

    seed: 7
    faults:
      - {kind: delayed, start: 1.0, duration: 0.5, by: 0.03}
      - {kind: intermittent, start: 3.0, loss: 0.3}

start [s] counts from when whoever injects began, and is 0 unless given; a fault without a duration lasts for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError

LARGEST_PLAN = 2**18  # [bytes]
ROUNDING = 1e-9  # [s]


class _Parameter(NamedTuple):
    """One field of a fault: its default (None: not given) and what it may be."""

    default: Any
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    whole: bool = False

    def read(self, field: str, value: Any) -> Any:
        if self.choices:
            if value not in self.choices:
                raise UnknownChoice(field, value, self.choices)
            return value
        kind = "a whole number" if self.whole else "a number"
        numeric = isinstance(value, int) if self.whole else isinstance(value, int | float)
        if isinstance(value, bool) or not numeric or not self.low <= value <= self.high:
            raise BadSetting(field, value, f"must be {kind} in [{self.low:g}, {self.high:g}]")
        return value if self.whole else float(value)


def _seconds(default: float) -> _Parameter:
    return _Parameter(default, 0.0, 1e6)


_JOINT = _Parameter(0, 0, 63, whole=True)
_SHARE = _Parameter(0.2, 0.0, 1.0)

STREAM: dict[str, dict[str, _Parameter]] = {
    "off": {},
    "stuck": {},
    "garbage": {},
    "wrong": {"how": _Parameter("any", choices=("any", "names", "missing", "doubled", "sizes"))},
    "slow": {"every": _Parameter(10, 1, 1_000_000, whole=True)},
    "delayed": {"by": _seconds(0.03), "jitter": _seconds(0.0)},
    "intermittent": {
        "loss": _Parameter(None, 0.0, 1.0),
        "burst": _Parameter(None, 1, 10_000, whole=True),
        "every": _Parameter(100, 2, 1_000_000, whole=True),
    },
    "reorder": {"share": _SHARE, "by": _seconds(0.005)},
    "duplicate": {"share": _SHARE, "by": _seconds(0.005)},
    "nan": {
        "where": _Parameter("position", choices=("position", "velocity")),
        "joint": _JOINT,
        "value": _Parameter("nan", choices=("nan", "inf", "-inf")),
    },
    "size": {"elements": _Parameter(1000, 0, 10_000_000, whole=True)},
    "jump": {"joint": _JOINT, "by": _Parameter(0.3, -100.0, 100.0)},
    "stamp": {"how": _Parameter("zero", choices=("zero", "future", "old", "other clock")), "by": _seconds(1.0)},
}
"""Kinds of fault on the state stream, with their parameters."""

_SIGNALS = ("SIGSTOP", "SIGCONT", "SIGKILL", "SIGTERM", "SIGINT", "SIGABRT", "SIGSEGV")

PROCESS: dict[str, dict[str, _Parameter]] = {
    "signal": {"signal": _Parameter("SIGSTOP", choices=_SIGNALS)},
    "solver": {"how": _Parameter("raise", choices=("nan", "raise", "hang", "abort"))},
}
"""Kinds of fault in the controller's own process, with their parameters."""

KINDS = STREAM | PROCESS


@dataclass(frozen=True, eq=False)
class Fault:
    """One entry of a plan."""

    kind: str
    start: float  # [s]
    duration: float  # [s]
    parameters: Mapping[str, Any]

    def active(self, t: float) -> bool:
        """Whether it acts at time t [s]."""
        return self.start - ROUNDING <= t < self.start + self.duration - ROUNDING


@dataclass(frozen=True, eq=False)
class FaultPlan:
    """Which faults come when."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> "FaultPlan":
        """Read a YAML file. Raises BadSetting and UnknownChoice, which name the file, the field and what would be right."""
        path = Path(path)
        if not path.is_file():
            raise BadSetting("fault plan", str(path), "no such file")
        if path.stat().st_size > LARGEST_PLAN:
            raise BadSetting("fault plan", str(path), f"larger than {LARGEST_PLAN >> 10} KiB: no plan of this package")
        try:
            raw = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: bytes that are no text, 2001-99-99
            raise BadSetting("fault plan", str(path), f"not YAML ({' '.join(str(error).split())})") from error
        try:
            return cls.read(raw)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    @classmethod
    def read(cls, raw: Any) -> "FaultPlan":
        """The plan that plain data {seed, faults: [{kind, start, duration, parameter: value}]} describe; raises as load."""
        fields = _fields("fault plan", raw, ("seed", "faults"))
        seed, entries = fields.get("seed", 0), fields.get("faults", [])
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise BadSetting("seed", seed, "must be a whole number, not negative")
        if not isinstance(entries, list):
            raise BadSetting("faults", entries, "must be a list")
        return cls(seed, tuple(_fault(f"faults[{k}]", entry) for k, entry in enumerate(entries)))

    def active(self, t: float, kind: str) -> tuple[Fault, ...]:
        """The faults of one kind that act at time t [s]."""
        return tuple(fault for fault in self.faults if fault.kind == kind and fault.active(t))

    def beginning(self, after: float, until: float, kind: str) -> tuple[Fault, ...]:
        """The faults of one kind whose start lies in (after, until] [s]: what happens once, such as a signal."""
        return tuple(fault for fault in self.faults if fault.kind == kind and after < fault.start <= until)


def _fault(where: str, entry: Any) -> Fault:
    if not isinstance(entry, dict):
        raise BadSetting(where, entry, "must be a mapping with a kind")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UnknownChoice(f"{where}.kind", kind, KINDS)
    known = {"start": _seconds(0.0), "duration": _Parameter(np.inf, 0.0, np.inf), **KINDS[kind]}
    given = _fields(f"{where} ({kind})", entry, ("kind", *known))
    values = {
        name: parameter.read(f"{where}.{name}", given[name]) if name in given else parameter.default
        for name, parameter in known.items()
    }
    if kind == "intermittent":
        if (values["loss"] is None) == (values["burst"] is None):
            raise BadSetting(where, dict(entry), "needs either loss (a share) or burst (lost in a row out of `every`)")
        if values["burst"] is not None and 2 * values["burst"] > values["every"]:
            raise BadSetting(f"{where}.every", values["every"], f"must be at least 2 burst = {2 * values['burst']}")
    return Fault(kind, values.pop("start"), values.pop("duration"), values)


def _fields(where: str, raw: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadSetting(where, raw, f"must be a mapping with {', '.join(known)}")
    for name in raw:
        if name not in known:
            raise UnknownChoice(f"field of {where}", name, known)
    return raw
