"""Figure 11: in Bullet, struck and pushed, the arm stays near the motion of the infinite horizon.

The protocol is the robustness plan `figure11`, run and kept by its own study: starts at rest, an impulse of 2 or 5 N s at 0.8 s
or a push of 20 N from 0.5 to 2 s, and for every seed the same blow on V with 10 nodes, on no terminal cost with 10 and on 200
nodes, which stand for the infinite horizon. V is the shipped one, and in a study beside it one made the paper's way
(arm_paper.py).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvp_mpc.errors import UsageError
from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.studies.plots import FLOOR_MM
from dvp_mpc.studies.reproduce import arm_paper
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, METHOD, PALE, save, sheet

if TYPE_CHECKING:
    from dvp_mpc_sim.robustness.plan import StudyPlan
    from dvp_mpc_sim.robustness.study import Trials

PLAN = "figure11"
V = "value N=10"
STYLE = {"ours": V, "zero": "zero N=10"}
JUDGED = ("ours", "paper")
SHOWN = (*JUDGED, "zero")
NEAR_MM = 10.0  # the distance at which the project counts a goal as reached
TIMES = 5.0
PUSHED = {"impulse": (0.8, 0.83, "N s"), "push": (0.5, 2.0, "N")}  # [s] from, to; for shading


@dataclass(frozen=True)
class Settings:
    """What is run of the plan."""

    runs: int = 3  # of each seed, each with a start, goal and direction of its own
    cases: tuple[str, ...] = ("impulse", "push")
    levels: int = 2  # of each case, at most
    reference: str = "zero 200"
    paper: DvpSettings = arm_paper.FULL


def compute(settings: Settings, work: Work) -> Json:
    """Distance of the tool [m] every 20 ms from its goal and from the reference's motion, of every run."""
    try:
        from dvp_mpc_sim.robustness.plan import StudyPlan
        from dvp_mpc_sim.robustness.trial import CURVE_EVERY
    except ImportError as error:
        raise UsageError(f"figure 11 needs the extra 'sim' (pip install '.[sim]'): {error}") from error
    raw = _raw(settings, StudyPlan.load(PLAN).raw)
    plan = StudyPlan.read(PLAN, raw)
    assert plan.reference is not None
    found = _run(plan, "figure11", settings, work)
    # The reference would run into the same blows again; trials are told by their seed alone.
    alone = {key: value for key, value in raw.items() if key != "reference"}
    alone |= {"controllers": ["value 10"], "model": str(arm_paper.paper_model(settings.paper, work))}
    paper = StudyPlan.read(PLAN, alone)
    beside = _run(paper, f"figure11-paper-{paper.digest}", settings, work)
    rows = []
    for unit, trials in found.items():
        base = np.array(trials[plan.reference.name]["tool_m"], dtype=float)
        shown = {name: trials[controller] for name, controller in STYLE.items()}
        shown |= {"paper": beside[unit][V], "truth": trials[plan.reference.name]}
        for name, trial in shown.items():
            away = np.linalg.norm(np.array(trial["tool_m"], dtype=float) - base, axis=1)  # NaN once it has diverged
            rows.append(
                {
                    "case": unit.case,
                    "level": unit.level,
                    "controller": name,
                    "success": trial["success"],
                    "error": trial["error_m"],
                    "away": [None if np.isnan(d) else float(np.round(d, 7)) for d in away],
                }
            )
    return {"rows": rows, "dt": CURVE_EVERY * 1e-3}


def _run(plan: "StudyPlan", name: str, settings: Settings, work: Work) -> "Trials":
    from dvp_mpc_sim.robustness.study import run_study

    mode = "quick" if work.quick else "full"
    folder = work.folder / f"{name}-{mode}-seed{work.seed}"  # the study keeps its trials there
    return run_study(plan, folder, seeds=settings.runs, first=settings.runs * work.seed, jobs=1)


def _raw(settings: Settings, shipped: str) -> Json:
    """The plan's data, with less of it for a quick run."""
    raw = json.loads(shipped)
    cases = {name: raw["cases"][name] for name in settings.cases}
    for case in cases.values():
        case["levels"] = case["levels"][: settings.levels]
    controllers = [*raw["controllers"][:-1], settings.reference]
    return {**raw, "cases": cases, "controllers": controllers, "reference": settings.reference}


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in values], dtype=float)


def _cells(results: Sequence[Json]) -> list[tuple[str, float]]:
    return list(dict.fromkeys((row["case"], row["level"]) for one in results for row in one["rows"]))


def _rows(one: Json, cell: tuple[str, float], controller: str) -> list[Json]:
    return [row for row in one["rows"] if (row["case"], row["level"], row["controller"]) == (*cell, controller)]


def _rms_mm(row: Json) -> float:
    """Root mean square over the run [mm]: the root of the paper's mean squared error."""
    return float(1e3 * np.sqrt(np.mean(_numbers(row["away"]) ** 2)))


def summarise(settings: Settings, results: Sequence[Json]) -> Summary:
    """Kept when V stays near the reference in every run of every cell, and much nearer than the horizon without it."""
    numbers: dict[str, Json] = {}
    bars: dict[str, list[bool]] = {f"{what}, {LABEL[name]}": [] for what in ("near", "nearer") for name in JUDGED}
    for cell in _cells(results):
        rms = {name: [[_rms_mm(row) for row in _rows(one, cell, name)] for one in results] for name in SHOWN}
        for name in SHOWN:
            key = f"{cell[0]} {cell[1]:g}, {LABEL[name]}"
            worst = [max(of_seed) for of_seed in rms[name]]
            if np.isfinite(worst).all():
                numbers[f"{key}: distance from the long horizon's motion, r.m.s. in mm, worst run of a seed"] = spread(
                    worst
                )
            wins = [row["success"] for one in results for row in _rows(one, cell, name)]
            numbers[f"{key}: success"] = f"{sum(wins)} of {len(wins)}"
        wins = [row["success"] for one in results for row in _rows(one, cell, "truth")]
        numbers[f"{cell[0]} {cell[1]:g}, long horizon: success"] = f"{sum(wins)} of {len(wins)}"
        zero = np.concatenate(rms["zero"])
        for name in JUDGED:
            mine = np.concatenate(rms[name])
            bars[f"near, {LABEL[name]}"].append(bool((mine <= NEAR_MM).all()))
            bars[f"nearer, {LABEL[name]}"].append(bool(np.median(zero) >= TIMES * np.median(mine)))
            if np.isfinite(np.median(mine)):
                key = f"{cell[0]} {cell[1]:g}: median distance without V over that with V, {LABEL[name]}"
                numbers[key] = float(np.median(zero) / np.median(mine))
    kept = {name: all(cells) for name, cells in bars.items()}
    missed = ", ".join(name for name, yes in kept.items() if not yes)
    return Summary(judge(list(kept.values())), numbers, (f"Missed: {missed}.",) if missed else ())


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """Above the distance from the goal, below that from the long horizon's motion: median and 5th to 95th percentile."""
    cells = _cells(results)
    drawing, axes = sheet(2, len(cells), (4.3 * len(cells) + 0.6, 6.4))
    for j, cell in enumerate(cells):
        for i, what in enumerate(("error", "away")):
            panel = axes[i, j]
            for name in ("zero", "paper", "ours", "truth") if what == "error" else ("zero", "paper", "ours"):
                runs = np.array([_numbers(row[what]) for one in results for row in _rows(one, cell, name)])
                low, mid, high = np.maximum(1e3 * np.percentile(runs, [5, 50, 95], axis=0, method="higher"), FLOOR_MM)
                t = np.arange(runs.shape[1]) * results[0]["dt"]
                label = (
                    f"long horizon, N = {settings.reference.split()[1]}"
                    if name == "truth"
                    else f"{LABEL[name]}, N = 10"
                )
                panel.plot(t, mid, color=METHOD[name], lw=1.5, ls="--" if name == "truth" else "-", label=label)
                panel.fill_between(t, low, np.minimum(high, 1e4), color=METHOD[name], alpha=0.15, lw=0)
            panel.set(yscale="log", xlabel="time [s]")
            start, stop, unit = PUSHED[cell[0]]
            panel.axvspan(start, stop, color=PALE, alpha=0.7, lw=0, zorder=0)
            panel.set_title(f"{cell[0]} of {cell[1]:g} {unit}" if i == 0 else "")
            if j == 0:
                panel.set_ylabel(("distance from the goal [mm]", "from the long horizon's motion [mm]")[i])
    axes[0, 0].legend(frameon=False, fontsize=7)
    save(drawing, path)


FIGURE = Figure(
    11,
    "Arm in Bullet: disturbed, near the infinite horizon",
    "With external disturbances in Bullet, the error between the end effector under the learned terminal cost and that of the "
    "infinite-horizon solution stays small.",
    f"In every run the tool is within {NEAR_MM:g} mm (root mean square over the run) of the motion under the long horizon, "
    f"struck alike, and in every cell the median distance is at most 1/{TIMES:g} of that of the same horizon without V; with "
    "our settings and with the paper's.",
    Settings(),
    Settings(runs=1, cases=("impulse",), levels=1, reference="zero 60", paper=arm_paper.QUICK),
    compute,
    summarise,
    plot,
)
