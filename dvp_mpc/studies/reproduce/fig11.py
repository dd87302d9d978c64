"""Figure 11: in Bullet, struck and pushed, the arm stays near the motion of the infinite horizon.

The protocol is the robustness plan `figure11`, run and kept by its own study: starts at rest, an impulse of 2 or 5 N s at 0.8 s
or a push of 20 N from 0.5 to 2 s, and for every seed the same blow on V with 10 nodes, on no terminal cost with 10 and on 200
nodes, which stand for the infinite horizon.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvp_mpc.errors import UsageError
from dvp_mpc.studies.plots import FLOOR_MM
from dvp_mpc.studies.reproduce.figure import Figure, Json, Summary, Work, judge, spread
from dvp_mpc.studies.reproduce.palette import LABEL, METHOD, PALE, save, sheet

PLAN = "figure11"
STYLE = {"ours": "value N=10", "zero": "zero N=10"}
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


def compute(settings: Settings, work: Work) -> Json:
    """Distance of the tool [m] every 20 ms from its goal and from the reference's motion, of every run."""
    try:
        from dvp_mpc_sim.robustness.plan import StudyPlan
        from dvp_mpc_sim.robustness.study import run_study
        from dvp_mpc_sim.robustness.trial import CURVE_EVERY
    except ImportError as error:
        raise UsageError(f"figure 11 needs the extra 'sim' (pip install '.[sim]'): {error}") from error
    plan = StudyPlan.read(PLAN, _raw(settings, StudyPlan.load(PLAN).raw))
    assert plan.reference is not None
    mode = "quick" if work.quick else "full"
    found = run_study(
        plan,
        work.folder / f"figure11-{mode}-seed{work.seed}",  # the study keeps its trials there
        seeds=settings.runs,
        first=settings.runs * work.seed,
        jobs=1,
    )
    rows = []
    for unit, trials in found.items():
        base = np.array(trials[plan.reference.name]["tool_m"], dtype=float)
        for name in (*STYLE, "truth"):
            trial = trials[STYLE.get(name, plan.reference.name)]
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
    near, nearer = [], []
    for cell in _cells(results):
        rms = {name: [[_rms_mm(row) for row in _rows(one, cell, name)] for one in results] for name in STYLE}
        for name in STYLE:
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
        ours, zero = (np.concatenate([np.array(r) for r in rms[name]]) for name in ("ours", "zero"))
        near.append(bool((ours <= NEAR_MM).all()))
        nearer.append(bool(np.median(zero) >= TIMES * np.median(ours)))
        numbers[f"{cell[0]} {cell[1]:g}: median distance without V over that with V"] = float(
            np.median(zero) / np.median(ours)
        )
    return Summary(judge([all(near), all(nearer)]), numbers)


def plot(settings: Settings, results: Sequence[Json], path: Path) -> None:
    """Above the distance from the goal, below that from the long horizon's motion: median and 5th to 95th percentile."""
    cells = _cells(results)
    drawing, axes = sheet(2, len(cells), (4.3 * len(cells) + 0.6, 6.4))
    for j, cell in enumerate(cells):
        for i, what in enumerate(("error", "away")):
            panel = axes[i, j]
            for name in ("zero", "ours", "truth") if what == "error" else ("zero", "ours"):
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
    f"struck alike, and in every cell the median distance is at most 1/{TIMES:g} of that of the same horizon without V.",
    Settings(),
    Settings(runs=1, cases=("impulse",), levels=1, reference="zero 60"),
    compute,
    summarise,
    plot,
)
