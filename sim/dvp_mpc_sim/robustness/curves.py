"""The figures of a robustness study: small multiples, one panel for each case, one colour for each controller everywhere.

Levels stand evenly spaced, as the plan chose them: on a true scale 1, 2, 5, 50 would crowd at the left, and nothing is
known between two levels anyway.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dvp_mpc.studies.plots import FLOOR_MM, PALE
from dvp_mpc_sim.robustness.findings import SHARE, Row, place
from dvp_mpc_sim.robustness.panels import (
    COLUMNS,
    HEAD,
    LANE,
    cases,
    dashes_of,
    entries,
    lanes,
    legend,
    lines,
    looks,
    panels,
    place_levels,
    stroke,
    title,
    write,
)

DOTS = (0, (1, 2))


def plot_success(rows: Sequence[Row], path: str | Path) -> None:
    """Success [%] against level for each case, with Wilson's interval. The file appears whole or not at all."""
    groups, styles, dashes = cases(rows), looks(row["controller"] for row in rows), dashes_of(rows)
    figure, grid, spare = panels(len(groups))
    for axes, own in zip(grid, groups, strict=True):
        levels, moved = place_levels(axes, own), lanes(own, list(styles))
        for name, engine, line, x in lines(own, levels, styles, dashes):
            low, high = ([100 * row[key] for row in line] for key in ("success_low", "success_high"))
            axes.fill_between(x, low, high, color=styles[name].colour, alpha=0.09, lw=0)
            axes.vlines(x, low, high, color=styles[name].colour, alpha=0.35, lw=0.9)
            y = [100 * row["success"] + moved[engine, row["level"], name] for row in line]
            axes.plot(x, y, ls=dashes[engine], **stroke(styles[name], hollow=dashes[engine] != "-"))
        axes.axhline(100 * SHARE, color="grey", lw=0.8, ls=DOTS, zorder=1)
        axes.set_ylim(-2 - LANE * len(styles), 102 + LANE * len(styles))
        axes.set_yticks((0, 25, 50, 75, 100))
        axes.spines.left.set_bounds(0, 100)  # what stands beyond is at the end, and moved aside to be seen
        axes.set_ylabel("success [%]" if axes in grid[::COLUMNS] else "")
    scale = [
        Patch(color="grey", alpha=0.3, label="Wilson interval, 95 %"),
        Line2D([], [], color="grey", lw=0.8, ls=DOTS, label=f"{100 * SHARE:.0f} %: counts as holding"),
    ]
    legend(figure, spare, [*entries(styles, dashes), *scale])
    write(figure, path)


def plot_deviation(rows: Sequence[Row], path: str | Path) -> None:
    """Largest distance of the tool [mm] against level for each case: median and 95th percentile over seeds."""
    groups, styles, dashes = cases(rows), looks(row["controller"] for row in rows), dashes_of(rows)
    figure, grid, spare = panels(len(groups))
    every = _peaks_mm(rows)
    finite = every[np.isfinite(every)] if np.isfinite(every).any() else np.ones(1)
    top = 2 * finite.max()
    for axes, own in zip(grid, groups, strict=True):
        levels = place_levels(axes, own)
        for name, engine, line, x in lines(own, levels, styles, dashes):
            median, p95 = _peaks_mm(line).T
            axes.plot(x, p95, ls=dashes[engine], color=styles[name].colour, lw=0.7, alpha=0.8)
            median = np.where(np.isfinite(median), median, top)  # to infinity by a line: it says which controller went
            axes.plot(x, median, ls=dashes[engine], **stroke(styles[name], hollow=dashes[engine] != "-"))
        axes.set_yscale("log")
        axes.set_ylim(finite.min() / 1.6, 1.5 * top)
        axes.yaxis.set_major_formatter("{x:g}")
        if not np.isfinite(every).all():
            axes.axhline(top, color="grey", lw=0.8, ls=DOTS, zorder=1)
            axes.text(1.01, top, "∞", transform=axes.get_yaxis_transform(), va="center", fontsize=9, color="grey")
        axes.set_ylabel("peak deviation [mm]" if axes in grid[::COLUMNS] else "")
    scale = [
        Line2D([], [], color="grey", lw=1.6, label="median over seeds"),
        Line2D([], [], color="grey", lw=0.7, label="95th percentile, while finite"),
    ]
    legend(figure, spare, [*entries(styles, dashes), *scale])
    write(figure, path)


def _peaks_mm(rows: Sequence[Row]) -> np.ndarray:
    """(n, 2): median and 95th percentile [mm]; NaN where infinite."""
    peaks = [[row["peak_deviation_m"][quantile] for quantile in ("median", "p95")] for row in rows]
    return np.maximum(1e3 * np.array(peaks, dtype=float).reshape(-1, 2), FLOOR_MM)


def plot_time(curves: Sequence[Row], path: str | Path, among: Iterable[str] = ()) -> None:
    """Tool error [mm] over time [s] for each case and level: median and band from the 5th to the 95th percentile.

    A curve may say when its disturbance lasts ("start", "stop" [s]) and how its case is called ("title"). `among`: the
    controllers of the other figures, so that the colours agree with theirs.
    """
    cells = list(dict.fromkeys((curve["case"], curve["level"]) for curve in curves))
    dashes, here = dashes_of(curves), [curve["controller"] for curve in curves]
    styles = {name: look for name, look in looks([*among, *here]).items() if name in here}
    figure, grid, spare = panels(len(cells))
    for axes, (case, level) in zip(grid, cells, strict=True):
        own = [curve for curve in curves if (curve["case"], curve["level"]) == (case, level)]
        for curve in own:
            colour = styles[curve["controller"]].colour
            low, mid, high = (np.maximum(1e3 * np.array(curve[q], float), FLOOR_MM) for q in ("p5", "p50", "p95"))
            axes.fill_between(curve["t"], low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(curve["t"], mid, color=colour, ls=dashes[curve["engine"]], lw=1.6)
        for start, stop in {(curve["start"], curve["stop"]) for curve in own if curve.get("start") is not None}:
            axes.axvspan(start, stop, color=PALE, alpha=0.7, lw=0, zorder=0)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(title(place({"title": case, **own[0]}, level)), **HEAD)
        axes.set_xlabel("time [s]")
        axes.set_xlim(min(curve["t"][0] for curve in own), max(curve["t"][-1] for curve in own))
        axes.set_ylabel("distance of the tool [mm]" if axes in grid[::COLUMNS] else "")
    scale = [Patch(color="grey", alpha=0.3, label="5th to 95th percentile")]
    if any(curve.get("start") is not None for curve in curves):
        scale.append(Patch(color=PALE, label="disturbance"))
    legend(figure, spare, [*entries(styles, dashes, markers=False), *scale])
    write(figure, path)
