"""The plan of what is to go wrong on purpose: a YAML file, read once and refused by field name.

    seed: 7
    faults:
      - {kind: delayed, start: 1.0, duration: 0.5, by: 0.03}
      - {kind: intermittent, start: 3.0, loss: 0.3}

start [s] counts from when whoever injects began, and is 0 unless given; a fault without a duration lasts for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dvp_mpc.errors import BadSetting
from dvp_mpc.plan_file import Kinds, Parameter, load_plan, read_entry, read_fields, seconds

ROUNDING = 1e-9  # [s]

_JOINT = Parameter(0, 0, 63, whole=True)
_SHARE = Parameter(0.2, 0.0, 1.0)

STREAM: Kinds = {
    "off": {},
    "stuck": {},
    "garbage": {},
    "wrong": {"how": Parameter("any", choices=("any", "names", "missing", "doubled", "sizes"))},
    "slow": {"every": Parameter(10, 1, 1_000_000, whole=True)},
    "delayed": {"by": seconds(0.03), "jitter": seconds(0.0)},
    "intermittent": {
        "loss": Parameter(None, 0.0, 1.0),
        "burst": Parameter(None, 1, 10_000, whole=True),
        "every": Parameter(100, 2, 1_000_000, whole=True),
    },
    "reorder": {"share": _SHARE, "by": seconds(0.005)},
    "duplicate": {"share": _SHARE, "by": seconds(0.005)},
    "nan": {
        "where": Parameter("position", choices=("position", "velocity")),
        "joint": _JOINT,
        "value": Parameter("nan", choices=("nan", "inf", "-inf")),
    },
    "size": {"elements": Parameter(1000, 0, 10_000_000, whole=True)},
    "jump": {"joint": _JOINT, "by": Parameter(0.3, -100.0, 100.0)},
    "noise": {"position": Parameter(1e-4, 0.0, 10.0), "velocity": Parameter(1e-2, 0.0, 100.0)},
    "bias": {"position": Parameter(5e-3, -10.0, 10.0), "velocity": Parameter(0.0, -100.0, 100.0)},
    "quantised": {"position": Parameter(1.2e-5, 0.0, 10.0), "velocity": Parameter(1e-2, 0.0, 100.0)},  # 19 bits a turn
    "stamp": {"how": Parameter("zero", choices=("zero", "future", "old", "other clock")), "by": seconds(1.0)},
}
"""Kinds of fault on the state stream, with their parameters."""

_SIGNALS = ("SIGSTOP", "SIGCONT", "SIGKILL", "SIGTERM", "SIGINT", "SIGABRT", "SIGSEGV")

PROCESS: Kinds = {
    "signal": {"signal": Parameter("SIGSTOP", choices=_SIGNALS)},
    "solver": {"how": Parameter("raise", choices=("nan", "raise", "hang", "abort"))},
}
"""Kinds of fault in the controller's own process, with their parameters."""

KINDS: Kinds = {**STREAM, **PROCESS}


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
        return load_plan("fault plan", path, cls.read)

    @classmethod
    def read(cls, raw: Any) -> "FaultPlan":
        """The plan that plain data {seed, faults: [{kind, start, duration, parameter: value}]} describe; raises as load."""
        fields = read_fields("fault plan", raw, ("seed", "faults"))
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
    kind, values = read_entry(where, entry, KINDS, {"start": seconds(0.0), "duration": Parameter(np.inf, 0.0, np.inf)})
    if kind == "intermittent":
        if (values["loss"] is None) == (values["burst"] is None):
            raise BadSetting(where, dict(entry), "needs either loss (a share) or burst (lost in a row out of `every`)")
        if values["burst"] is not None and 2 * values["burst"] > values["every"]:
            raise BadSetting(f"{where}.every", values["every"], f"must be at least 2 burst = {2 * values['burst']}")
    return Fault(kind, values.pop("start"), values.pop("duration"), values)
