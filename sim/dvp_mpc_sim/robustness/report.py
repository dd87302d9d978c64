"""The report of a robustness study: rows in; a table, pictures and one HTML file that a roboticist reads in two minutes."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvp_mpc.files import whole_file, writable_folder
from dvp_mpc_sim.robustness.curves import plot_deviation, plot_success, plot_time
from dvp_mpc_sim.robustness.findings import SHARE, Row, findings
from dvp_mpc_sim.robustness.page import Cell, bullets, code, folded, heading, page, paragraph, picture, section
from dvp_mpc_sim.robustness.tables import breaking_table, promise_table, tick_table, violation_table, whole_table

SUCCESS = (
    "Share of runs that succeed. The levels stand evenly spaced. Lines that coincide are drawn apart: "
    "what stands above 100 % or below 0 % is exactly 100 % or 0 %."
)
BREAKING = (
    f"The last level up to which at least {100 * SHARE:.0f} % of the runs succeed, at this level and at all lower ones. "
    "Where engines differ, the one that holds less."
)
TICKS = "Medians, over all cells, of a cell's p50 and p99."
DEVIATION = (
    "Largest distance of the tool from the goal once the disturbance has begun, over the runs of a cell. "
    "∞: the median run was lost; a thin line that ends: one run in twenty was."
)
TIME = "Median over the runs, and the band from the 5th to the 95th percentile. Shaded: while the disturbance lasts."


def write_report(
    rows: Sequence[Row], meta: Mapping[str, Any], folder: str | Path, curves: Sequence[Row] = ()
) -> list[Path]:
    """Write rows.csv, success.png, deviation.png, time.png (with curves) and report.html, each whole or not at all.

    Returns their paths. The pictures stand within report.html too: it can be sent alone.
    """
    folder = writable_folder(Path(folder))
    files = {name: folder / name for name in ("rows.csv", "success.png", "deviation.png", "time.png", "report.html")}
    write_csv(rows, files["rows.csv"])
    plot_success(rows, files["success.png"])
    plot_deviation(rows, files["deviation.png"])
    if curves:
        titles = {row["case"]: row["title"] for row in rows}
        named = [{"title": titles.get(curve["case"], curve["case"]), **curve} for curve in curves]
        plot_time(named, files["time.png"], among=[row["controller"] for row in rows])
    else:
        del files["time.png"]
    with whole_file(files["report.html"]) as part:
        part.write_text(html(rows, meta, files), encoding="utf-8")
    return list(files.values())


def flat(row: Row) -> dict[str, Any]:
    """A row without depth: {"tick_ms": {"p50": 1}} becomes {"tick_ms_p50": 1}, and the promises one text."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            out |= {f"{key}_{inner}": number for inner, number in value.items()}
        elif key == "bars":
            out[key] = "; ".join(f"{bar['text']}: {'kept' if bar['pass'] else 'missed'}" for bar in value)
        else:
            out[key] = value
    return out


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line for each row; None (infinite, never, not measured) is empty."""
    lines = [flat(row) for row in rows]
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def html(rows: Sequence[Row], meta: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """The page, from the rows and the pictures among `files`."""
    title = f"Robustness of {meta['model']} on {meta['arm']}"
    origin = f"Plan {meta['plan']}, {meta['seeds']} seeds for each cell, {meta['date']}, {meta['machine']}."
    notes = paragraph("To be noted:") + bullets(map(Cell, meta["notes"])) if meta["notes"] else ""
    parts = [
        heading(title),
        paragraph(origin, "soft"),
        bullets((Cell(found.text, "bad" if found.bad else "") for found in findings(rows)), "key"),
        section("What was done", paragraph(f"Success: {meta['success']}"), bullets(map(Cell, meta["protocol"])), notes),
        section("Success", picture(files["success.png"], SUCCESS)),
        section("Where each controller breaks", breaking_table(rows), paragraph(BREAKING, "soft")),
        section("Promises", promise_table(rows)),
        '<div class="side">\n',
        section("Time of a tick", tick_table(rows), paragraph(TICKS, "soft")),
        section("Violations of the limits", violation_table(rows)),
        "</div>\n",
        section("Peak deviation", picture(files["deviation.png"], DEVIATION)),
        section("Error over time", picture(files["time.png"], TIME)) if "time.png" in files else "",
        section("All numbers", folded(f"{len(rows)} rows: median / 95th percentile", whole_table(rows))),
        section("Made by", code(meta["command"])),
    ]
    return page(title, "".join(parts))
