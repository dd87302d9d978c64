"""What the rows of a robustness study say: where each controller breaks, and the sentences that open the report.

A row is what one controller did in one engine, case and level over all seeds. A cell is (engine, case, level): the place
where rows of two controllers can be compared.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

Row = Mapping[str, Any]

SHARE = 0.9
"""Success that counts as holding a level [-]."""
ROUNDING = 1e-9
UNITLESS = ("", "-")


class Finding(NamedTuple):
    """One sentence at the top of the report."""

    text: str
    bad: bool = False


def breaking_points(rows: Sequence[Row], share: float = SHARE) -> list[dict[str, Any]]:
    """Where success falls below `share` as the level rises, for each engine, case and controller in order of appearance.

    holds: the last level before the first failing one, None when the lowest one fails; fails: that first failing level,
    None when none fails, and then `beyond` is true: it breaks beyond `tested`, the last level tried. A level that holds
    above one that fails is luck or a quirk of the plan, and counts for nothing.
    """
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["engine"], row["case"], row["controller"]), []).append(row)
    points = []
    for group in groups.values():
        holds, fails = None, None
        for row in sorted(group, key=lambda row: row["level"]):
            if row["success"] < share - ROUNDING:
                fails = row["level"]
                break
            holds = row["level"]
        points.append(
            {key: group[0][key] for key in ("engine", "case", "title", "unit", "controller")}
            | {"holds": holds, "beyond": fails is None, "fails": fails, "tested": max(row["level"] for row in group)}
        )
    return points


def zero_terminal(rows: Sequence[Row]) -> str | None:
    """The controller without a terminal cost and with the longest horizon: what a learned value has to match."""
    zeros = [row for row in rows if re.fullmatch(r"zero N=\d+", row["controller"])]
    return max(zeros, key=lambda row: row["nodes"])["controller"] if zeros else None


def values(rows: Sequence[Row]) -> list[str]:
    """The controllers that end in the learned value and have nothing else to them, shortest horizon first."""
    plain = [row for row in rows if re.fullmatch(r"value N=\d+", row["controller"])]
    return list(dict.fromkeys(row["controller"] for row in sorted(plain, key=lambda row: row["nodes"])))


def tick(rows: Sequence[Row], controller: str, quantile: str) -> float | None:
    """Median of this quantile of the time of a tick over the rows of a controller [ms]; None when it was not measured."""
    times = [row["tick_ms"][quantile] for row in rows if row["controller"] == controller]
    known = [time for time in times if time is not None]
    return median(known) if known else None


def amount(level: float, unit: str) -> str:
    """A level with its unit, as it is read aloud."""
    return f"{level:g}" if unit in UNITLESS else f"{level:g} {unit}"


def place(row: Row, level: float) -> str:
    """A case at a level. One that has no levels stands at 0 without a unit, and its title says all."""
    return row["title"] if level == 0 and row["unit"] in UNITLESS else f"{row['title']} — {amount(level, row['unit'])}"


def interval(row: Row) -> str:
    """Wilson's interval of a row in percent."""
    return f"{100 * row['success_low']:.0f} to {100 * row['success_high']:.0f} %"


def findings(rows: Sequence[Row]) -> list[Finding]:
    """The key sentences: how hard a hit is survived, where it ends, against the long horizon, promises and limits."""
    names = values(rows)
    lead = names[-1] if names else rows[0]["controller"]
    found = [_survives(rows, lead), _ends(rows, lead)]
    reference = zero_terminal(rows)
    if names and reference:
        found.append(Finding(_against(rows, names, reference)))
    return [*found, _promises(rows), _limits(rows)]


def _survives(rows: Sequence[Row], lead: str) -> Finding:
    """The hardest level that the leading controller holds of the first case that has levels, in all engines."""
    own = [row for row in rows if row["controller"] == lead]
    first = next((row for row in own if row["level"]), own[0])
    case = [row for row in own if row["case"] == first["case"]]
    point = breaking_points([row for row in case if row["engine"] == first["engine"]])[0]
    level = point["fails"] if point["holds"] is None else point["holds"]
    shares = [
        f"{row['successes']} of {row['seeds']} runs in {row['engine']} (Wilson {interval(row)})"
        for row in case
        if row["level"] == level
    ]
    where = place(first, level)
    return Finding(f"{where[:1].upper()}{where[1:]}: {lead} succeeds in {' and '.join(shares)}.")


def _ends(rows: Sequence[Row], lead: str) -> Finding:
    points = [point for point in breaking_points(rows) if point["controller"] == lead]
    broken = [point for point in points if not point["beyond"]]
    text = f"{lead} keeps {100 * SHARE:.0f} % success up to the last level tested in {len(points) - len(broken)} of "
    text += f"{len(points)} {'cases' if len({p['engine'] for p in points}) == 1 else 'pairs of case and engine'}"
    first: dict[str, dict[str, Any]] = {}
    for point in broken:  # the worse engine speaks for the case
        if point["case"] not in first or point["fails"] < first[point["case"]]["fails"]:
            first[point["case"]] = point
    ends = [place(point, point["fails"]) for point in first.values()]
    return Finding(f"{text}; it falls below at {'; '.join(ends)}." if ends else f"{text}.")


def _against(rows: Sequence[Row], names: Sequence[str], reference: str) -> str:
    cells = {(row["engine"], row["case"], row["level"]): row for row in rows if row["controller"] == reference}
    parts = []
    for name in names:
        pairs = [
            (row, cells[row["engine"], row["case"], row["level"]])
            for row in rows
            if row["controller"] == name and (row["engine"], row["case"], row["level"]) in cells
        ]
        level = sum(own["success"] >= other["success"] - ROUNDING for own, other in pairs)
        below = sum(own["success_high"] < other["success_low"] for own, other in pairs)
        mine, theirs = tick(rows, name, "p50"), tick(rows, reference, "p50")
        share = f" at {mine / theirs:.2g} of its median tick" if mine is not None and theirs else " tick not measured"
        parts.append(f"{name} in {level} of {len(pairs)} cells, clearly below in {below},{share}")
    return (
        f"Success at or above the long horizon, {reference}: {'; '.join(parts)}. Clearly below: Wilson intervals apart."
    )


def _promises(rows: Sequence[Row]) -> Finding:
    kept = [bar["pass"] for row in rows for bar in row["bars"]]
    if not kept:
        return Finding("The plan makes no promises.")
    missed = len(kept) - sum(kept)
    return Finding(f"Promises of the plan: {sum(kept)} of {len(kept)} kept, {missed} missed.", bad=missed > 0)


def _limits(rows: Sequence[Row]) -> Finding:
    count = sum(row["violations"] for row in rows)
    runs = sum(row["seeds"] for row in rows)
    return Finding(f"Violations of the limits: {count or 'none'} in {runs:,} runs.", bad=count > 0)
