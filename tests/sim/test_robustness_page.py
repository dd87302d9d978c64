"""How a robustness study is shown: its pictures, its table as CSV, and its one file of HTML."""

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from dvp_mpc_sim.robustness.curves import plot_deviation, plot_success, plot_time
from dvp_mpc_sim.robustness.report import flat, write_report

Row = dict[str, Any]
Make = Callable[..., Any]
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


def test_report_is_one_balanced_file_that_needs_no_other(tmp_path: Path, study: list[Row], curve: Row) -> None:
    curves = [{"case": "push", "level": 2.0, "unit": "N", "controller": "my own", "engine": "bullet", **curve}]
    written = write_report(study, META, tmp_path / "new", curves)
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


def test_a_missed_promise_is_red_and_says_why(tmp_path: Path, row: Make) -> None:
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


def test_every_text_is_escaped(tmp_path: Path, row: Make, curve: Row) -> None:
    evil = "<b>$x_&\"'"
    bars = [{"text": evil, "pass": False, "reason": evil}]
    rows = [row(0.5, 1.0, evil, bars=bars, engine=e, case=evil, title=evil, unit=evil) for e in (evil, "bullet")]
    meta = {key: [evil] if isinstance(value, list) else evil for key, value in META.items()}
    *_, path = write_report(rows, meta, tmp_path, [{**curve, **rows[0]}])
    page = path.read_text(encoding="utf-8")
    assert "b" not in parse(page).tags
    assert "&lt;b&gt;$x_&amp;&quot;&#x27;" in page


def test_csv_comes_back_as_it_went(tmp_path: Path, row: Make) -> None:
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


def test_a_report_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path, row: Make) -> None:
    written = write_report([row(0.97)], META, tmp_path)
    before = [path.read_bytes() for path in written]
    with pytest.raises(KeyError):
        write_report([row(0.97)], {key: value for key, value in META.items() if key != "command"}, tmp_path)
    assert written[-1].read_bytes() == before[-1]
    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.mark.parametrize(
    "made",
    [
        lambda row, study: [row(1.0)],
        lambda row, study: [row(1.0, 1.0), row(0.0, 2.0)],
        lambda row, study: [row(1.0, 0.0, name, case=name) for name in ("one", "two", "three")],
        lambda row, study: [row(0.0, peak_deviation_m={"median": None, "p95": None})],
        lambda row, study: [row(1.0, peak_deviation_m={"median": 0.0, "p95": 0.0}, unit="")],
        lambda row, study: study[1:-4],  # cells that some controllers lack
    ],
    ids=("1 level", "1 controller", "3 panels", "all lost", "no deviation", "gaps"),
)
def test_pictures_of_small_and_odd_studies(
    made: Callable[..., list[Row]], row: Make, study: list[Row], tmp_path: Path
) -> None:
    rows = made(row, study)
    for plot in (plot_success, plot_deviation):
        path = tmp_path / "made" / f"{plot.__name__}.png"
        plot(rows, path)
        assert path.read_bytes().startswith(PNG)
        assert list(path.parent.glob("*.part")) == []


def test_picture_over_time_with_and_without_an_interval(tmp_path: Path, curve: Row) -> None:
    curve = {"case": "push", "level": 2.0, "unit": "N", "controller": "value N=10", "engine": "bullet", **curve}
    curves = [curve, {**curve, "engine": "mujoco", "p95": [None, None, None]}, {**curve, "level": 3.0, "start": 1.0}]
    curves[-1]["stop"] = 2.0
    plot_time(curves, path := tmp_path / "time.svg")
    assert "<svg" in path.read_text()
