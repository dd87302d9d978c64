"""Plans of a study: what they say is what is run, and what they cannot say is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvp_mpc_sim.body import Body
from dvp_mpc_sim.robustness.case import RECOVER, ControllerSpec
from dvp_mpc_sim.robustness.conditions import KINDS, Conditions, Entry, conditions
from dvp_mpc_sim.robustness.plan import StudyPlan

from dvp_mpc.disturbance import Impulse, RandomWrench, Sine, Step
from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError


def case(**fields: Any) -> dict[str, Any]:
    return {"controllers": ["value 10"], "cases": {"c": fields}}


def wrong(*entries: dict[str, Any], seed: int = 1) -> Conditions:
    return conditions([Entry.read("here", entry) for entry in entries], (seed,))


@pytest.mark.parametrize("name", ["panda", "promises", "figure11", "quick"])
def test_shipped_plans_are_sound(name: str) -> None:
    plan = StudyPlan.load(name)
    assert plan.name == name
    assert plan.arm == "panda"
    for one in plan.cases:
        for level in one.levels:
            conditions(one.entries[level], (3,))
            assert one.duration > one.over(level)


def test_levels_are_put_in() -> None:
    plan = StudyPlan.read(
        "p",
        case(
            levels=[1, 3],
            disturbances=[
                {"kind": "impulse", "size": "level", "start": 2.8},
                {"kind": "noise", "position": {"per_level": 1e-4}, "velocity": 0.02},
            ],
        ),
    )
    impulse, noise = plan.cases[0].entries[3.0]
    assert impulse.parameters["size"] == 3.0
    assert (noise.parameters["position"], noise.parameters["velocity"]) == (pytest.approx(3e-4), 0.02)


def test_when_a_case_begins_and_must_be_over() -> None:
    blow = StudyPlan.read("p", case(disturbances=[{"kind": "push", "size": 1, "start": 3, "stop": 4}], duration=7))
    load = StudyPlan.read("p", case(disturbances=[{"kind": "payload", "mass": 1}]))
    assert (blow.cases[0].begins(0), blow.cases[0].over(0), blow.cases[0].settling_from(0)) == (3, 4 + RECOVER, 4)
    assert (load.cases[0].begins(0), load.cases[0].over(0), load.cases[0].settling_from(0)) == (2.8, 2.8 + RECOVER, 0)


def test_controllers_are_read_as_they_are_written() -> None:
    texts = ["value 10", "value 1 observer", "zero 100", "riccati 5", "computed torque"]
    specs = [ControllerSpec.read("c", text) for text in texts]
    assert [spec.name for spec in specs] == [
        "value N=10",
        "value N=1 + observer",
        "zero N=100",
        "riccati N=5",
        texts[-1],
    ]


@pytest.mark.parametrize("text", ["", "value", "value ten", "value 0", "value 10 observe", "pid 3", 7, None])
def test_other_controllers_are_refused_with_the_forms(text: Any) -> None:
    with pytest.raises(BadSetting, match=r"controllers\[0\].*write 'TERMINAL NODES \[observer\]'"):
        StudyPlan.read("p", {"controllers": [text], "cases": {"c": {}}})


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (["cases"], "plan"),
        ({"cases": {}}, "cases"),
        ({"cases": {"c": {}}, "engines": ["gazebo"]}, "engines 'gazebo'; valid choices: bullet, mujoco"),
        ({"cases": {"c": {}}, "modle": "x"}, "field of plan 'modle'"),
        (case(levels=[2, 1]), "cases.c.levels"),
        (case(levels=["much"]), "cases.c.levels"),
        (case(levels=[]), "cases.c.levels"),
        (case(duration=5), "cases.c.duration"),
        (case(disturbances={"kind": "push"}), "cases.c.disturbances"),
        (
            case(disturbances=[{"kind": "shove"}]),
            r"cases.c.disturbances\[0\].kind 'shove'; valid choices: impulse, push",
        ),
        (case(disturbances=[{"kind": "push", "sise": 3}]), "'sise'; valid choices: kind, size"),
        (case(disturbances=[{"kind": "push", "size": -3}]), "size = -3"),
        (case(disturbances=[{"kind": "push", "direction": "up"}]), "direction 'up'; valid choices: "),
        (case(disturbances=[{"kind": "push", "link": 4}]), "link = 4: must be a text"),
        (case(curve="yes"), "cases.c.curve"),
        (case(title=3), "cases.c.title"),
        (case(bars=[{"level": 5}]), r"cases.c.bars\[0\].level 5; valid choices: 0"),
        (case(bars=[{"level": 0, "controller": "zero 10"}]), r"bars\[0\].controller 'zero N=10'"),
        (
            case(bars=[{"level": 0, "controller": "value 10", "figure": "speed"}]),
            "figure 'speed'; valid choices: success",
        ),
        (case(bars=[{"level": 0, "controller": "value 10", "figure": "success"}]), "needs least or most"),
        ({**case(), "reference": "zero 100"}, "reference 'zero 100'; valid choices: value N=10"),
    ],
)
def test_a_bad_plan_is_refused_by_field(plan: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        StudyPlan.read("p", plan)


def test_a_plan_by_name_and_by_path(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownChoice, match=r"unknown plan 'pandas'; valid choices: figure11, panda, promises, quick, PATH.yaml"
    ):
        StudyPlan.load("pandas")
    file = tmp_path / "mine.yaml"
    file.write_text("cases: {c: {levels: [2, 1]}}")
    with pytest.raises(UsageError, match=r"mine.yaml: cases.c.levels"):
        StudyPlan.load(file)
    file.write_text("cases: {calm: {}}")
    assert StudyPlan.load(file).cases[0].name == "calm"


def test_the_digest_is_that_of_the_content() -> None:
    one, same, other = (StudyPlan.read("p", case(levels=[level])) for level in (1, 1, 2))
    assert one.digest == same.digest != other.digest


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_had_and_the_seed_decides(kind: str) -> None:
    entry: dict[str, Any] = {"kind": kind}
    if kind == "intermittent":
        entry["loss"] = 0.5
    if kind == "random":
        entry["size"] = 3.0
    assert wrong(entry) != Conditions()
    assert repr(wrong(entry)) == repr(wrong(entry))


def test_pushes_are_what_they_say() -> None:
    found = wrong(
        {"kind": "impulse", "size": 5, "start": 1, "direction": "+x"},
        {
            "kind": "push",
            "size": 20,
            "moment": 2,
            "start": 1,
            "stop": 2,
            "direction": "-z",
            "axes": "link",
            "link": "panda_link4",
        },
        {"kind": "sine", "size": 3, "frequency_hz": 2, "direction": "+y"},
        {"kind": "random", "size": 4, "bandwidth_hz": 3},
    ).pushes
    impulse, push, sine, noise = found
    assert impulse.profile == Impulse((5, 0, 0), 1.0, 0.1, (0, 0, 0))
    assert push.profile == Step((0, 0, -20), 1.0, 2.0, (0, 0, -2))
    assert (push.link, push.turns_with_link, impulse.turns_with_link) == ("panda_link4", True, False)
    assert sine.profile == Sine((0, 3, 0), 2.0)
    assert isinstance(noise.profile, RandomWrench)
    assert (noise.profile.rms, noise.profile.bandwidth_hz) == (4, 3)


def test_a_random_direction_is_a_unit_vector_from_the_seed() -> None:
    def impulse(seed: int) -> np.ndarray:
        profile = wrong({"kind": "impulse", "size": 5, "start": 1}, seed=seed).pushes[0].profile
        assert isinstance(profile, Impulse)
        return np.array(profile.impulse)

    assert np.linalg.norm(impulse(1)) == pytest.approx(5)
    np.testing.assert_array_equal(impulse(1), impulse(1))
    assert not np.allclose(impulse(1), impulse(2))


def test_errors_of_the_body_and_the_motors_add_up() -> None:
    found = wrong(
        {"kind": "payload", "mass": 1.5},
        {"kind": "masses", "within": 0.2},
        {"kind": "friction", "coulomb": 0.4, "viscous": 0.2},
        {"kind": "tilt", "degrees": 30},
        {"kind": "torque_bias", "size": 1},
        {"kind": "late_commands", "by": 0.002},
        {"kind": "weak_motors", "share": 0.8},
    )
    body, motors = found.body, found.actuation
    assert body.payload == 1.5
    assert np.all(np.abs(np.array(body.mass_factors) - 1) <= 0.2)
    assert np.ptp(body.mass_factors) > 0.2
    assert np.all(np.abs(np.array(body.coulomb) / 0.4 - 1) <= 0.5)
    gravity = np.array(body.gravity_in_base)
    assert np.linalg.norm(gravity) == pytest.approx(9.81)
    assert np.degrees(np.arccos(-gravity[2] / 9.81)) == pytest.approx(30)
    assert set(np.abs(motors.bias)) == {1.0}
    assert (motors.delay, motors.share) == (0.002, 0.8)


def test_the_stream_gets_the_faults_with_their_times() -> None:
    stream = wrong({"kind": "delayed", "by": 0.01, "start": 0.05}, {"kind": "intermittent", "loss": 0.2}).stream
    assert [(fault.kind, fault.start, fault.duration) for fault in stream.faults] == [
        ("delayed", 0.05, np.inf),
        ("intermittent", 0.0, np.inf),
    ]
    assert stream.faults[0].parameters["by"] == 0.01


def test_a_goal_that_goes_round_keeps_its_speed_and_radius() -> None:
    circle = wrong({"kind": "moving_goal", "speed": 0.1, "radius": 0.05}).goal
    assert circle is not None
    np.testing.assert_allclose(circle.at(0.0), 0, atol=1e-15)
    assert np.linalg.norm(circle.at(1e-4)) / 1e-4 == pytest.approx(0.1, rel=1e-4)
    assert np.linalg.norm(circle.at(np.pi * 0.05 / 0.1)) == pytest.approx(0.1)  # half a turn: across


def test_nothing_said_is_nothing_wrong() -> None:
    assert wrong().body == Body()
    assert wrong().pushes == ()
