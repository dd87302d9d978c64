"""What a robustness study finds: its breaking points, its sentences and its tables."""

from collections.abc import Callable
from typing import Any

import pytest
from dvp_mpc_sim.robustness.findings import amount, breaking_points, findings, values, zero_terminal
from dvp_mpc_sim.robustness.panels import KNOWN, LANE, OTHERS, lanes, looks
from dvp_mpc_sim.robustness.tables import breaking_table, violation_table

Row = dict[str, Any]
Make = Callable[..., Any]


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
    successes: tuple[float, ...], holds: float | None, beyond: bool, fails: float | None, sweep: Make
) -> None:
    (point,) = breaking_points(sweep(successes)[::-1])  # the order of the rows does not matter
    assert (point["holds"], point["beyond"], point["fails"]) == (holds, beyond, fails)
    assert point["tested"] == len(successes)


def test_every_engine_case_and_controller_breaks_for_itself(study: list[Row]) -> None:
    points = breaking_points(study, share=0.96)
    assert len(points) == 2 * 4 * 5
    assert {(point["holds"], point["fails"]) for point in points} == {(1.0, 2.0)}


def test_headline_counts_cells_promises_and_violations(sweep: Make) -> None:
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


def test_headline_passes_over_a_case_without_levels(row: Make, sweep: Make) -> None:
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
def test_the_worse_engine_speaks_for_a_case(
    bullet: tuple[float, ...], mujoco: tuple[float, ...], cell: str, sweep: Make
) -> None:
    assert cell in breaking_table([*sweep(bullet), *sweep(mujoco, engine="mujoco")])


def test_breaking_table_shows_cases_without_levels_and_controllers_without_cases(row: Make) -> None:
    rows = [row(1.0, 0.0, "a", unit="-"), row(0.5, 0.0, "b", unit="-"), row(1.0, 1.0, "a", case="push")]
    table = breaking_table(rows)
    for cell in ('<td class="n good">holds</td>', '<td class="n bad">fails</td>', '<td class="n">—</td>'):
        assert cell in table


def test_every_kind_of_violation_has_its_column(row: Make) -> None:
    table = violation_table([row(1.0, position_violations=1200, velocity_violations=0)])
    for cell in ('>0</td><td class="n bad">1,200</td><td class="n good">0</td>', ">position</th>"):
        assert cell in table


@pytest.mark.parametrize("names", [("computed torque",), ("zero N=100",), ("value N=2",), ("my own", "value N=1")])
def test_headline_needs_no_particular_controller(names: tuple[str, ...], sweep: Make) -> None:
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


def test_lines_that_coincide_are_drawn_apart_and_beyond_the_ends_only(row: Make) -> None:
    order = ["a", "b", "c"]
    for success, expected in ((1.0, (2, 1, 0)), (0.0, (0, -1, -2)), (0.5, (1, 0, -1))):
        moved = lanes([row(success, 1.0, name) for name in order], order)
        assert [moved["bullet", 1.0, name] / LANE for name in order] == list(expected)
    alone = lanes([row(1.0, 1.0, "a"), row(0.99, 1.0, "b"), row(1.0, 2.0, "c")], order)
    assert set(alone.values()) == {0}
