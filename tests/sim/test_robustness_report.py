"""The report of a robustness study: its statistics, its sentences, its pictures and its one file."""

import csv
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from dvp_mpc_sim.robustness.curves import plot_deviation, plot_success, plot_time
from dvp_mpc_sim.robustness.findings import amount, breaking_points, findings, values, zero_terminal
from dvp_mpc_sim.robustness.panels import KNOWN, LANE, OTHERS, lanes, looks
from dvp_mpc_sim.robustness.report import flat, write_report
from dvp_mpc_sim.robustness.tables import breaking_table, violation_table
from dvp_mpc_sim.robustness.wilson import wilson

Row = dict[str, Any]
META: dict[str, Any] = {
    "plan": "made up",
    "model": "panda_reach",
    "arm": "panda",
    "seeds": 100,
    "date": "2026-11-24",
    "machine": "none",
    "command": "dvp-mpc robustness panda --seeds 100",
    "success": "The tool is back.",
    "protocol": ["An impulse at 1.5 s."],
    "notes": ["A note."],
}
PNG = b"\x89PNG\r\n"


def row(success: float, level: float = 1.0, controller: str = "value N=10", **other: Any) -> Row:
    """A made-up row of 100 seeds."""
    successes = round(100 * success)
    low, high = wilson(successes, 100)
    spread = {"median": 0.1, "p95": None, "max": None}
    return {
        "engine": "bullet",
        "case": "impulse",
        "title": "impulse at the hand",
        "unit": "N s",
        "level": level,
        "controller": controller,
        "nodes": int(found[1]) if (found := re.search(r"N=(\d+)", controller)) else 0,
        "seeds": 100,
        "successes": successes,
        "success": success,
        "success_low": low,
        "success_high": high,
        **dict.fromkeys(("peak_deviation_m", "settling_time_s", "final_error_m", "cost_ratio"), spread),
        "peak_torque_share": {"median": 0.1, "p95": 0.25},
        "peak_torque_rate": {"median": 100.0, "p95": 250.0},
        "violations": 0,
        "states_s": {"tracking": 5.9, "hold": 0.1},
        "tick_ms": {"p50": 0.5, "p99": 1.1},
        "bars": [],
        **other,
    }


def sweep(successes: Sequence[float], controller: str = "value N=10", **other: Any) -> list[Row]:
    """Rows of one controller at the levels 1, 2, 3, ..."""
    return [row(success, float(i + 1), controller, **other) for i, success in enumerate(successes)]


STUDY = [
    one
    for engine in ("bullet", "mujoco")
    for case in ("impulse", "push", "payload", "delay")
    for name in ("value N=2", "value N=10", "zero N=100", "computed torque", "my own")
    for one in sweep((1.0, 0.95, 0.5), name, engine=engine, case=case, title=f"{case} of something")
]
CURVE = {"t": [0.0, 1.0, 2.0], "p5": [0.1, 0.1, 0.0], "p50": [0.2, 0.2, 0.0], "p95": [0.3, float("nan"), 0.1]}


@pytest.mark.parametrize(
    ("successes", "holds", "beyond", "fails"),
    [
        ((1.0, 0.95, 0.9), 3.0, True, None),  # exactly at the share holds
        ((1.0, 0.95, 0.89), 2.0, False, 3.0),
        ((1.0, 0.5, 1.0), 1.0, False, 2.0),  # what holds above a failing level counts for nothing
        ((0.2, 1.0, 1.0), None, False, 1.0),
        ((1.0,), 1.0, True, None),
        ((0.0,), None, False, 1.0),
    ],
)
def test_breaking_point_is_the_last_level_before_the_first_failing_one(
    successes: tuple[float, ...], holds: float | None, beyond: bool, fails: float | None
) -> None:
    (point,) = breaking_points(sweep(successes)[::-1])  # the order of the rows does not matter
    assert (point["holds"], point["beyond"], point["fails"]) == (holds, beyond, fails)
    assert point["tested"] == len(successes)


def test_every_engine_case_and_controller_breaks_for_itself() -> None:
    points = breaking_points(STUDY, share=0.96)
    assert len(points) == 2 * 4 * 5
    assert {(point["holds"], point["fails"]) for point in points} == {(1.0, 2.0)}


def test_headline_counts_cells_promises_and_violations() -> None:
    kept, missed = {"text": "a", "pass": True, "reason": ""}, {"text": "b", "pass": False, "reason": ""}
    rows = [
        *sweep((1.0, 0.97, 0.5), "value N=10", bars=[kept]),
        *sweep((1.0, 0.3, 0.5), "value N=2", tick_ms={"p50": 0.25, "p99": 1.0}, bars=[missed], violations=1),
        *sweep((1.0, 0.96, 0.4), "zero N=100", tick_ms={"p50": 5.0, "p99": 9.0}),
        *sweep((1.0, 0.96, 0.4), "zero N=10"),
        *sweep((1.0, 1.0, 1.0), "value N=10 + observer"),
    ]
    assert (values(rows), zero_terminal(rows)) == (["value N=2", "value N=10"], "zero N=100")
    survives, ends, against, promises, limits = findings(rows)
    assert survives.text.startswith("Impulse at the hand — 2 N s: value N=10 succeeds in 97 of 100 runs in bullet")
    assert "0 of 1 cases" in ends.text
    assert ends.text.endswith("impulse at the hand — 3 N s.")
    assert "value N=2 in 2 of 3 cells, clearly below in 1, at 0.05 of its" in against.text
    assert "value N=10 in 3 of 3 cells, clearly below in 0, at 0.1 of its" in against.text
    assert "3 of 6 kept, 3 missed" in promises.text
    assert "3 in 1,500 runs" in limits.text
    assert (promises.bad, limits.bad) == (True, True)


def test_headline_passes_over_a_case_without_levels() -> None:
    rows = [row(1.0, 0.0, case="nothing", title="nothing", unit="-"), *sweep((0.3, 1.0))]
    survives, ends, *_ = findings(rows)
    assert survives.text.startswith(
        "Impulse at the hand — 1 N s: value N=10 succeeds in 30 of 100"
    )  # even the lowest fails
    assert ends.text.endswith("in 1 of 2 cases; it falls below at impulse at the hand — 1 N s.")
    assert findings([row(1.0, 0.0, title="nothing", unit="-")])[0].text.startswith(
        "Nothing: value N=10 succeeds in 100"
    )


def test_a_level_is_read_with_its_sign_and_unit() -> None:
    assert [amount(-1.0, "kg"), amount(0.2, "-"), amount(5.0, ""), amount(0.0, "N")] == ["-1 kg", "0.2", "5", "0 N"]


@pytest.mark.parametrize(
    ("bullet", "mujoco", "cell"),
    [
        ((1.0, 1.0), (1.0, 1.0), '<td class="n good">≥ 2 N s<small>never failed</small></td>'),
        ((1.0, 0.5), (1.0, 0.5), '<td class="n">1 N s<small>fails at 2</small></td>'),
        ((1.0, 1.0), (1.0, 0.5), '<td class="n">1 N s<small>fails at: bullet never, mujoco 2</small></td>'),
        ((0.5, 1.0), (1.0, 0.5), '<td class="n bad">none<small>fails at: bullet 1, mujoco 2</small></td>'),
    ],
)
def test_the_worse_engine_speaks_for_a_case(bullet: tuple[float, ...], mujoco: tuple[float, ...], cell: str) -> None:
    assert cell in breaking_table([*sweep(bullet), *sweep(mujoco, engine="mujoco")])


def test_breaking_table_shows_cases_without_levels_and_controllers_without_cases() -> None:
    rows = [row(1.0, 0.0, "a", unit="-"), row(0.5, 0.0, "b", unit="-"), row(1.0, 1.0, "a", case="push")]
    table = breaking_table(rows)
    for cell in ('<td class="n good">holds</td>', '<td class="n bad">fails</td>', '<td class="n">—</td>'):
        assert cell in table


def test_every_kind_of_violation_has_its_column() -> None:
    table = violation_table([row(1.0, position_violations=1200, velocity_violations=0)])
    for cell in ('>0</td><td class="n bad">1,200</td><td class="n good">0</td>', ">position</th>"):
        assert cell in table


@pytest.mark.parametrize("names", [("computed torque",), ("zero N=100",), ("value N=2",), ("my own", "value N=1")])
def test_headline_needs_no_particular_controller(names: tuple[str, ...]) -> None:
    rows = [one for name in names for one in sweep((0.5,), name, tick_ms={"p50": None, "p99": None})]
    assert len(findings(rows)) == 4
    assert not any(found.bad for found in findings(rows))


def test_a_controller_looks_the_same_in_every_picture() -> None:
    names = ["b", "zero N=10", "a", "value N=10", "b"]
    assert list(looks(names)) == ["value N=10", "zero N=10", "b", "a"]
    assert looks(names)["zero N=10"] == KNOWN["zero N=10"]
    assert (looks(names)["b"], looks(names)["a"]) == OTHERS[:2]
    everyone = [*KNOWN.values(), *OTHERS]
    assert len({look.colour for look in everyone}) == len({look.marker for look in everyone}) == len(everyone)


def test_lines_that_coincide_are_drawn_apart_and_beyond_the_ends_only() -> None:
    order = ["a", "b", "c"]
    for success, expected in ((1.0, (2, 1, 0)), (0.0, (0, -1, -2)), (0.5, (1, 0, -1))):
        moved = lanes([row(success, 1.0, name) for name in order], order)
        assert [moved["bullet", 1.0, name] / LANE for name in order] == list(expected)
    alone = lanes([row(1.0, 1.0, "a"), row(0.99, 1.0, "b"), row(1.0, 2.0, "c")], order)
    assert set(alone.values()) == {0}


class Balance(HTMLParser):
    """Every tag that opens is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.resources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.resources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(page: str) -> Balance:
    balance = Balance()
    balance.feed(page)
    balance.close()
    assert balance.open == []
    return balance


def test_report_is_one_balanced_file_that_needs_no_other(tmp_path: Path) -> None:
    curves = [{"case": "push", "level": 2.0, "unit": "N", "controller": "my own", "engine": "bullet", **CURVE}]
    written = write_report(STUDY, META, tmp_path / "new", curves)
    assert [path.name for path in written] == ["rows.csv", "success.png", "deviation.png", "time.png", "report.html"]
    assert sorted((tmp_path / "new").iterdir()) == sorted(written)  # no part is left
    page = written[-1].read_text(encoding="utf-8")
    parsed = parse(page)
    assert len(parsed.resources) == 3
    assert all(resource.startswith("data:image/png;base64,") for resource in parsed.resources)
    assert not parsed.tags & {"script", "link", "iframe"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert "url(" not in page
    for text in (*META["protocol"], *META["notes"], META["command"], META["success"], "The plan makes no promises."):
        assert text in page


def test_a_missed_promise_is_red_and_says_why(tmp_path: Path) -> None:
    bars = [
        {"text": "success >= 0.9", "pass": True, "reason": ""},
        {"text": "success >= 0.95", "pass": False, "value": 0.91, "reason": "the wrist has 12 N m only"},
    ]
    *_, path = write_report([row(0.91, bars=bars, violations=2)], META, tmp_path)
    page = path.read_text(encoding="utf-8")
    assert '<td class="bad">missed<small>the wrist has 12 N m only</small></td>' in page
    assert "success &gt;= 0.95<small>measured 0.91</small>" in page
    assert page.index(">missed<") < page.index(">kept<")
    assert '<td class="n bad">2</td>' in page
    assert '<li class="bad">Violations of the limits: 2 in 100 runs.</li>' in page


def test_every_text_is_escaped(tmp_path: Path) -> None:
    evil = "<b>$x_&\"'"
    bars = [{"text": evil, "pass": False, "reason": evil}]
    rows = [row(0.5, 1.0, evil, bars=bars, engine=e, case=evil, title=evil, unit=evil) for e in (evil, "bullet")]
    meta = {key: [evil] if isinstance(value, list) else evil for key, value in META.items()}
    *_, path = write_report(rows, meta, tmp_path, [{**CURVE, **rows[0]}])
    page = path.read_text(encoding="utf-8")
    assert "b" not in parse(page).tags
    assert "&lt;b&gt;$x_&amp;&quot;&#x27;" in page


def test_csv_comes_back_as_it_went(tmp_path: Path) -> None:
    rows = [row(0.97), row(1 / 3, states_s={"fallback": 0.1 + 0.2}, title='a "quoted", title')]
    path, *_ = write_report(rows, META, tmp_path)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for one, line in zip(rows, lines, strict=True):
        expected = flat(one)
        assert set(line) >= set(expected)
        for key, cell in line.items():
            value = expected.get(key)
            assert cell == "" if value is None else (float(cell) == value if isinstance(value, float) else True)
            assert not isinstance(value, str | int) or cell == str(value)
    assert lines[0]["peak_deviation_m_p95"] == ""
    assert lines[0]["states_s_fallback"] == ""


def test_a_report_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    written = write_report([row(0.97)], META, tmp_path)
    before = [path.read_bytes() for path in written]
    with pytest.raises(KeyError):
        write_report([row(0.97)], {key: value for key, value in META.items() if key != "command"}, tmp_path)
    assert written[-1].read_bytes() == before[-1]
    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.mark.parametrize(
    "rows",
    [
        [row(1.0)],
        sweep((1.0, 0.0)),
        [row(1.0, 0.0, name, case=name) for name in ("one", "two", "three")],
        [row(0.0, peak_deviation_m={"median": None, "p95": None})],
        [row(1.0, peak_deviation_m={"median": 0.0, "p95": 0.0}, unit="")],
        STUDY[1:-4],  # cells that some controllers lack
    ],
    ids=("1 level", "1 controller", "3 panels", "all lost", "no deviation", "gaps"),
)
def test_pictures_of_small_and_odd_studies(rows: list[Row], tmp_path: Path) -> None:
    for plot in (plot_success, plot_deviation):
        path = tmp_path / "made" / f"{plot.__name__}.png"
        plot(rows, path)
        assert path.read_bytes().startswith(PNG)
        assert list(path.parent.glob("*.part")) == []


def test_picture_over_time_with_and_without_an_interval(tmp_path: Path) -> None:
    curve = {"case": "push", "level": 2.0, "unit": "N", "controller": "value N=10", "engine": "bullet", **CURVE}
    curves = [curve, {**curve, "engine": "mujoco", "p95": [None, None, None]}, {**curve, "level": 3.0, "start": 1.0}]
    curves[-1]["stop"] = 2.0
    plot_time(curves, path := tmp_path / "time.svg")
    assert "<svg" in path.read_text()
