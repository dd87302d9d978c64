"""The study: every controller under every condition, in parallel, kept on disk as it goes, and its rows.

trial = (engine, case, level, seed)     one unit of work: all controllers, struck alike
row   = (engine, case, level, controller)     what its seeds came to
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dvp_mpc.arguments import require_jobs
from dvp_mpc.errors import BadSetting, RunFailed, UnknownChoice, UsageError
from dvp_mpc.files import whole_file, writable_folder
from dvp_mpc.models import load_model
from dvp_mpc.workers import unordered
from dvp_mpc_sim.robustness.case import Bar, Case
from dvp_mpc_sim.robustness.plan import StudyPlan
from dvp_mpc_sim.robustness.trial import CURVE_EVERY, Trial, run_trial
from dvp_mpc_sim.robustness.wilson import wilson

DEATHS = 3  # of workers before the run gives up
Trials = dict["Unit", dict[str, Trial]]  # by unit and controller


class Unit(NamedTuple):
    """What one worker does at a time."""

    engine: str
    case: str
    level: float
    seed: int


def units(plan: StudyPlan, seeds: int, first: int) -> list[Unit]:
    """Seed by seed, so that a study that is stopped has looked at everything a few times, not at little often."""
    return [
        Unit(engine, case.name, level, seed)
        for seed in range(first, first + seeds)
        for engine in plan.engines
        for case in plan.cases
        for level in case.levels
    ]


def _solve(plan: StudyPlan, unit: Unit) -> dict[str, Trial]:
    case = _case(plan, unit.case)
    run = partial(run_trial, plan.model, unit.engine)
    return {spec.name: run(spec, case, unit.level, unit.seed) for spec in case.controllers}


def _case(plan: StudyPlan, name: str) -> Case:
    return next(case for case in plan.cases if case.name == name)


class Journal:
    """trials.jsonl: a line for each unit that is done. A run that was stopped goes on behind the last whole line.

    Raises UsageError when the folder holds another study.
    """

    def __init__(self, folder: Path, plan: StudyPlan):
        self._path = writable_folder(folder) / "trials.jsonl"
        marker = folder / "study.json"
        identity = json.dumps({"plan": plan.digest, "model": load_model(plan.model)[2]["digest"]})
        if marker.exists() and marker.read_text() != identity:
            raise UsageError(f"{folder} holds a study of another plan or model; choose a new folder or remove it")
        with whole_file(marker) as part:
            part.write_text(identity)
        self.trials: Trials = {}
        if not self._path.exists():
            return
        text = self._path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            for line in whole.decode().splitlines():
                entry = json.loads(line)
                self.trials[Unit(*entry["unit"])] = entry["trials"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self._path} is damaged ({error}); remove it to run these trials again") from error
        if whole != text:  # the line that was being written when the run was stopped
            with whole_file(self._path) as part:
                part.write_bytes(whole)

    def keep(self, unit: Unit, trials: dict[str, Trial]) -> None:
        """Note a unit that is done."""
        line = json.dumps({"unit": list(unit), "trials": trials}, allow_nan=False) + "\n"
        with self._path.open("a") as file:
            file.write(line)
        self.trials[unit] = trials


def run_study(
    plan: StudyPlan,
    folder: Path,
    *,
    seeds: int,
    first: int = 0,
    jobs: int = -1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trials:
    """Run what is not done yet. progress(done, total) is called after each unit. Raises RunFailed when workers keep dying."""
    for name, number, least in (("seeds", seeds, 1), ("first_seed", first, 0)):
        if number < least:
            raise BadSetting(name, number, f"must be at least {least}")
    require_jobs(jobs)
    _check_links(plan)
    journal = Journal(folder, plan)
    wanted = units(plan, seeds, first)
    deaths = 0
    progress(sum(unit in journal.trials for unit in wanted), len(wanted))
    while todo := [unit for unit in wanted if unit not in journal.trials]:
        for unit, trials, death in unordered(partial(_solve, plan), todo, jobs):
            if death is not None:
                deaths += 1
                if deaths == DEATHS:
                    raise RunFailed(f"a worker process died {DEATHS} times, last in {unit}: {death}") from death
                continue
            journal.keep(unit, trials)
            progress(sum(unit in journal.trials for unit in wanted), len(wanted))
    return {unit: journal.trials[unit] for unit in wanted}


def _check_links(plan: StudyPlan) -> None:
    """Before hours of work: a link that the arm does not have."""
    arm = load_model(plan.model)[0].arm
    frames = [frame.name for frame in arm.model.frames]
    for case in plan.cases:
        for entries in case.entries.values():
            for entry in entries:
                link = entry.parameters.get("link")
                if link is not None and link not in frames:
                    raise UnknownChoice(f"cases.{case.name}: link", link, frames)


def rows(plan: StudyPlan, trials: Trials) -> list[dict[str, Any]]:
    """One row for each engine, case, level and controller, in the plan's order."""
    found = []
    for engine in plan.engines:
        for case in plan.cases:
            for level in case.levels:
                of_cell = [t for unit, t in trials.items() if unit[:3] == (engine, case.name, level)]
                for spec in case.controllers:
                    key = {"engine": engine, "case": case.name, "title": case.title, "unit": case.unit, "level": level}
                    key |= {"controller": spec.name, "nodes": spec.nodes}
                    figures = _row([trial[spec.name] for trial in of_cell])
                    bars = [bar for bar in case.bars if (bar.level, bar.controller) == (level, spec)]
                    found.append(key | figures | {"bars": [_judge(bar, figures) for bar in bars]})
    return found


def _row(trials: Sequence[Trial]) -> dict[str, Any]:
    n, successes = len(trials), sum(trial["success"] for trial in trials)
    low, high = wilson(successes, n)
    states: set[str] = set().union(*(trial["states_s"] for trial in trials))
    spreads = (
        "peak_deviation_m",
        "settling_time_s",
        "final_error_m",
        "cost_ratio",
        "peak_torque_share",
        "peak_torque_rate",
    )
    return {
        "seeds": n,
        "successes": successes,
        "success": successes / n,
        "success_low": low,
        "success_high": high,
        **{name: spread([trial[name] for trial in trials]) for name in spreads},
        "fast_torque_share": spread([trial["fast_torque_share"] for trial in trials]),
        "rest_share": sum(trial["at_rest"] for trial in trials) / n,
        "violations": sum(trial["violations"] for trial in trials),
        "position_violations": sum(trial["position_violations"] for trial in trials),
        "velocity_violations": sum(trial["velocity_violations"] for trial in trials),
        "rejected": sum(trial["rejected"] for trial in trials),
        "states_s": {
            name: float(np.mean([trial["states_s"].get(name, 0.0) for trial in trials])) for name in sorted(states)
        },
        "tick_ms": {p: spread([trial["solve_ms"][p] for trial in trials])["median"] for p in ("p50", "p99")},
    }


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Median, 95th percentile and greatest; None counts as infinite, and comes out as None."""
    numbers = np.array([np.inf if value is None else value for value in values], dtype=float)
    found = {
        name: float(np.percentile(numbers, p, method="higher"))
        for name, p in (("median", 50), ("p95", 95), ("max", 100))
    }
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _judge(bar: Bar, figures: Mapping[str, Any]) -> dict[str, Any]:
    """A spread is judged by its greatest value."""
    found = figures[bar.figure]
    value = found["max"] if isinstance(found, dict) else found
    sides = [f">= {bar.least:g}"] * bool(np.isfinite(bar.least)) + [f"<= {bar.most:g}"] * bool(np.isfinite(bar.most))
    passed = value is not None and bar.least - 1e-9 <= value <= bar.most + 1e-9
    text = f"{bar.figure} {' and '.join(sides)}"
    return {"text": text, "value": value, "pass": passed, "reason": "" if passed else bar.reason}


def curves(plan: StudyPlan, trials: Trials) -> Iterator[dict[str, Any]]:
    """Over time [s], 5th, 50th and 95th percentile over the seeds, of the cases that keep it: the tool error [m], and with a
    reference controller how far the tool is from where it would be under that one, struck alike [m].
    """
    for engine in plan.engines:
        for case in (case for case in plan.cases if case.curve):
            for level in case.levels:
                of_cell = [runs for unit, runs in trials.items() if unit[:3] == (engine, case.name, level)]
                facts = {
                    "engine": engine,
                    "level": level,
                    "unit": case.unit,
                    "start": min(entry.span[0] for entry in case.entries[level]),
                    "stop": min(case.duration, max(entry.span[1] for entry in case.entries[level])),
                }
                for spec in case.controllers:
                    title = case.title if plan.reference is None else f"{case.title}: from the goal"
                    key = facts | {"case": case.name, "title": title, "controller": spec.name}
                    yield key | _bands([runs[spec.name]["error_m"] for runs in of_cell])
                if plan.reference is None:
                    continue
                base = [_numbers(runs[plan.reference.name]["tool_m"]) for runs in of_cell]
                for spec in (spec for spec in case.controllers if spec != plan.reference):
                    title = f"{case.title}: from the motion of {plan.reference.name}"
                    key = facts | {"case": f"{case.name}, distance", "title": title, "controller": spec.name}
                    paths = [_numbers(runs[spec.name]["tool_m"]) for runs in of_cell]
                    gaps = [np.linalg.norm(path - other, axis=1) for path, other in zip(paths, base, strict=True)]
                    yield key | _bands([gap.tolist() for gap in gaps])


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """None, from a run that diverged, is infinite."""
    numbers = np.array(values, dtype=float)
    return np.where(np.isnan(numbers), np.inf, numbers)


def _bands(errors: Sequence[Sequence[float | None]]) -> dict[str, list[float]]:
    # Between a finite value and an infinite one nothing can be interpolated.
    bands = np.percentile(_numbers(errors), [5, 50, 95], axis=0, method="higher")
    times = np.arange(bands.shape[1]) * CURVE_EVERY * 1e-3
    return {"t": times.tolist(), **{f"p{p}": band.tolist() for p, band in zip((5, 50, 95), bands, strict=True)}}
