"""The plan of a robustness study: a YAML file, read once and refused by field name.

    about: what this study is for                              one line
    model: panda_reach                                         value file, or the name of a shipped one
    engines: [bullet, mujoco]
    controllers: [value 1, value 10, value 10 observer, zero 100, computed torque]
    cases:
      push:
        title: push at the hand for 3 s
        unit: N
        levels: [0, 20, 40]
        duration: 8                                            [s] of a run; 6 unless given
        controllers: [value 10]                                those of the plan unless given
        disturbances: [{kind: push, size: level, start: 2.8, stop: 5.8}]
        bars: [{level: 20, controller: value 10, figure: success, least: 0.95}]

A parameter that says `level` takes the level that is run, {per_level: a} takes a times it. Kinds and their parameters are in
conditions.py.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.models import DEFAULT_MODEL, load_model
from dvp_mpc.plan_file import load_plan, read_fields
from dvp_mpc_sim.episode import ENGINES
from dvp_mpc_sim.robustness.case import Case, ControllerSpec, read_case, read_controllers, read_list, read_text


@dataclass(frozen=True)
class StudyPlan:
    """What to run."""

    name: str
    about: str
    model: str
    engines: tuple[str, ...]
    controllers: tuple[ControllerSpec, ...]
    cases: tuple[Case, ...]
    reference: ControllerSpec | None
    """The controller from whose motion the distance of the others is kept as a curve."""
    raw: str
    """The plan as data, for its fingerprint."""

    @cached_property
    def arm(self) -> str:
        """Name of the model's arm."""
        return load_model(self.model)[0].arm.name

    @cached_property
    def digest(self) -> str:
        """Fingerprint: results of another plan do not mix with those of this one."""
        return sha256(self.raw.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str | Path) -> "StudyPlan":
        """A plan by path, or a shipped one by name. Raises UsageError, which names the file and the field."""
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            shipped = {Path(entry.name).stem: entry for entry in _shipped().iterdir() if entry.name.endswith(".yaml")}
            if str(name) not in shipped:
                raise UnknownChoice("plan", str(name), [*sorted(shipped), "PATH.yaml"])
            path = Path(str(shipped[str(name)]))
        return load_plan("plan", path, lambda raw: cls.read(path.stem, raw))

    @classmethod
    def read(cls, name: str, raw: Any) -> "StudyPlan":
        """The plan that plain data describe; raises as load."""
        known = ("about", "model", "engines", "controllers", "reference", "cases")
        get = read_fields("plan", raw, known)
        engines = tuple(read_list("engines", get.get("engines", ["bullet"])))
        for engine in engines:
            if engine not in ENGINES:
                raise UnknownChoice("engines", engine, ENGINES)
        specs = read_controllers("controllers", get.get("controllers", ["value 10"]))
        raw_cases = get.get("cases")
        if not isinstance(raw_cases, dict) or not raw_cases:
            raise BadSetting("cases", raw_cases, "must be a mapping from names to cases")
        cases = tuple(read_case(str(key), entry, specs) for key, entry in raw_cases.items())
        model, about = (
            read_text(key, get.get(key, default)) for key, default in (("model", DEFAULT_MODEL), ("about", name))
        )
        reference = ControllerSpec.read("reference", get["reference"]) if "reference" in get else None
        if reference is not None and reference not in specs:
            raise UnknownChoice("reference", get["reference"], [spec.name for spec in specs])
        return cls(name, about, model, engines, specs, cases, reference, json.dumps(get, sort_keys=True))


def _shipped() -> Any:
    return files("dvp_mpc_sim.robustness") / "plans"
