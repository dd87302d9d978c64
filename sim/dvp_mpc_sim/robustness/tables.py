"""The tables of the report, each from the rows of the study."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dvp_mpc_sim.robustness.findings import Row, amount, breaking_points, interval, place, tick, zero_terminal
from dvp_mpc_sim.robustness.page import Cell, folded, paragraph, table
from dvp_mpc_sim.robustness.panels import looks

NOTHING = Cell("—", "n")


def breaking_table(rows: Sequence[Row]) -> str:
    """How far each controller holds, in the engine in which it holds less: controllers as columns, cases as rows."""
    styles = looks(row["controller"] for row in rows)
    points = breaking_points(rows)
    body = [
        [
            Cell(title),
            *(_breaks([p for p in points if (p["case"], p["controller"]) == (case, name)]) for name in styles),
        ]
        for case, title in {row["case"]: row["title"] for row in rows}.items()
    ]
    return table([Cell("case"), *(Cell(name, "n", colour=look.colour) for name, look in styles.items())], body)


def _breaks(engines: Sequence[Mapping[str, Any]]) -> Cell:
    """The breaking points of one controller in one case, one for each engine."""
    if not engines:
        return NOTHING
    fails = [math.inf if point["beyond"] else point["fails"] for point in engines]
    worst = engines[fails.index(min(fails))]
    if len(set(fails)) > 1:
        where = [f"{p['engine']} {'never' if p['beyond'] else format(p['fails'], 'g')}" for p in engines]
        note = f"fails at: {', '.join(where)}"
    else:
        note = "never failed" if worst["beyond"] else f"fails at {worst['fails']:g}"
    if worst["tested"] == 0:  # a case without levels
        return Cell("holds", "n good") if worst["beyond"] else Cell("fails", "n bad")
    if worst["holds"] is None:
        return Cell("none", "n bad", note)
    if worst["beyond"]:
        return Cell(f"≥ {amount(worst['tested'], worst['unit'])}", "n good", note)
    return Cell(amount(worst["holds"], worst["unit"]), "n", note)


def promise_table(rows: Sequence[Row]) -> str:
    """Every row that had to keep something: the missed ones at once, the kept ones folded."""
    promises = [(row, bar) for row in rows for bar in row["bars"]]
    if not promises:
        return paragraph("The plan makes no promises.")
    missed = [promise for promise in promises if not promise[1]["pass"]]
    kept = [promise for promise in promises if promise[1]["pass"]]
    shown = _promised(missed) if missed else paragraph("All were kept.")
    return shown + (folded(f"{len(kept)} kept", _promised(kept)) if kept else "")


def _promised(promises: Sequence[tuple[Row, Mapping[str, Any]]]) -> str:
    body = [
        [
            Cell(place(row, row["level"])),
            Cell(row["controller"], "w"),
            Cell(row["engine"]),
            Cell(bar["text"], "w", f"measured {_number(bar['value'])}" if "value" in bar else ""),
            Cell(success(row), "w"),
            Cell("kept", "good") if bar["pass"] else Cell("missed", "bad", bar["reason"] or "the plan gives no reason"),
        ]
        for row, bar in promises
    ]
    return table([*map(Cell, ("case", "controller", "engine", "promise", "success", "kept?"))], body)


def tick_table(rows: Sequence[Row]) -> str:
    """Time of one control step of each controller, and its share of the long zero-terminal horizon's."""
    reference = zero_terminal(rows)
    whole = tick(rows, reference, "p50") if reference else None
    body = []
    for name, look in looks(row["controller"] for row in rows).items():
        p50, p99 = (tick(rows, name, quantile) for quantile in ("p50", "p99"))
        ratio = p50 / whole if p50 is not None and whole else None
        times = [Cell(_number(time, never="—", digits=".2f"), "n") for time in (p50, p99)]
        body.append([Cell(name, colour=look.colour), *times, Cell(_number(ratio, never="—", digits=".3f"), "n")])
    head = [Cell("controller"), Cell("p50 [ms]", "n"), Cell("p99 [ms]", "n"), Cell(f"p50 / {reference or 'zero'}", "n")]
    return table(head, body)


def violation_table(rows: Sequence[Row]) -> str:
    """Violations of each kind that the rows count, summed over all runs of a controller."""
    kinds = [key for key in rows[0] if key.endswith("violations")]
    body = []
    for name, look in looks(row["controller"] for row in rows).items():
        own = [row for row in rows if row["controller"] == name]
        counts = [sum(row[kind] for row in own) for kind in kinds]
        body.append(
            [
                Cell(name, colour=look.colour),
                Cell(f"{sum(row['seeds'] for row in own):,}", "n"),
                *(Cell(f"{count:,}", "n bad" if count else "n good") for count in counts),
            ]
        )
    return table(
        [Cell("controller"), Cell("runs", "n"), *(Cell(kind.removesuffix("_violations"), "n") for kind in kinds)], body
    )


def whole_table(rows: Sequence[Row]) -> str:
    """Every row with its numbers: median / 95th percentile over seeds."""
    names = ("case", "level", "engine", "controller", "success")
    numbers = (
        "peak deviation [mm]",
        "settling time [s]",
        "final error [mm]",
        "cost ratio [-]",
        "torque / limit [-]",
        "torque rate [N m/s]",
        "tick p50 / p99 [ms]",
        "violations",
    )
    body = [
        [
            Cell(row["title"]),
            Cell(amount(row["level"], row["unit"]), "n"),
            Cell(row["engine"]),
            Cell(row["controller"], "w"),
            Cell(success(row), "w"),
            _pair(row["peak_deviation_m"], 1e3),
            _pair(row["settling_time_s"], never="never"),
            _pair(row["final_error_m"], 1e3),
            _pair(row["cost_ratio"]),
            _pair(row["peak_torque_share"]),
            _pair(row["peak_torque_rate"]),
            Cell(" / ".join(_number(row["tick_ms"][p], never="—") for p in ("p50", "p99")), "n"),
            Cell(f"{row['violations']}", "n bad" if row["violations"] else "n"),
            Cell(", ".join(f"{state} {time:.2g} s" for state, time in row["states_s"].items() if time), "w"),
        ]
        for row in rows
    ]
    return table([*map(Cell, names), *(Cell(name, "n") for name in numbers), Cell("mean time in state")], body)


def success(row: Row) -> str:
    """Successes with Wilson's interval."""
    return f"{row['successes']} of {row['seeds']} ({interval(row)})"


def _pair(numbers: Mapping[str, float | None], scale: float = 1, never: str = "∞") -> Cell:
    """Of a spread over seeds its median and 95th percentile."""
    return Cell(" / ".join(_number(numbers[key], scale, never) for key in ("median", "p95")), "n")


def _number(number: float | None, scale: float = 1, never: str = "∞", digits: str = ".4g") -> str:
    return never if number is None else format(scale * number, digits)
