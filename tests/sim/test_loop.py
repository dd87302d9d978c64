"""The loop and its log: who is called when, what is written down, and that a misbehaving controller is found out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dvp_mpc.disturbance import ExternalWrench, Impulse, Sine, Step, Sum
from dvp_mpc.errors import BadSetting, RunFailed, UsageError
from dvp_mpc.problem.arm import Arm, load_arm
from dvp_mpc.studies.plots import plot_log

pytest.importorskip("pybullet")
from dvp_mpc_sim.bullet import BulletPlant
from dvp_mpc_sim.film import film_pictures
from dvp_mpc_sim.loop import Log, plant_steps_per_tick, simulate
from dvp_mpc_sim.render import write_gif, write_png

GOAL = np.array([0.5, 0.1, 0.4])


class PointMass:
    """A plant whose tool is a mass of 2 kg that only pushes move."""

    dt = 1e-3
    arm = load_arm("panda")

    def __init__(self) -> None:
        self.applied: list[np.ndarray] = []
        self.shown: list[np.ndarray] = []

    def reset(self, q: np.ndarray, v: np.ndarray | None = None) -> None:
        self.q, self.v = np.array(q), np.zeros(7) if v is None else np.array(v)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        return self.q, self.v

    def step(self, torque: np.ndarray, wrenches: Sequence[tuple[str | None, np.ndarray]] = ()) -> None:
        self.applied.append(torque)
        force = sum((wrench[:3] for _, wrench in wrenches), np.zeros(3))
        self.v = self.v + np.concatenate([force, np.zeros(4)]) / 2 * self.dt
        self.q = self.q + self.v * self.dt

    def tool_in_world(self) -> np.ndarray:
        return self.q[:3]

    def show_goal(self, goal_in_world: np.ndarray) -> None:
        self.shown.append(goal_in_world)


class Scripted:
    """A controller that gives torque(t) and remembers its calls."""

    def __init__(self, rate_hz: float = 1000.0, torque: object = lambda t: np.zeros(7)):
        self.rate_hz, self._torque = rate_hz, torque
        self.times: list[float] = []
        self.goals: list[tuple[int, np.ndarray]] = []

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        self.goals.append((len(self.times), goal_in_world))

    def step(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        self.times.append(t)
        q[:] = v[:] = np.nan  # what the controller does to its arguments must not reach plant or log
        return self._torque(t)  # type: ignore[operator]


class GravityCompensation:
    """Holds the arm where it is."""

    rate_hz = 500.0

    def __init__(self, arm: Arm):
        self._arm = arm

    def set_goal(self, goal_in_world: np.ndarray) -> None:
        pass

    def step(self, t: float, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self._arm.gravity_torque(q)


def run(controller: Scripted, duration: float = 0.05, **options: object) -> Log:
    options = {"q0": np.zeros(7), "goals": GOAL} | options
    return simulate(PointMass(), controller, duration=duration, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate_hz", "calls", "hold"), [(1000, 50, 1), (500, 25, 2), (200, 10, 5), (100, 5, 10)])
def test_controller_is_called_at_its_rate_and_its_torque_held(rate_hz: float, calls: int, hold: int) -> None:
    controller = Scripted(rate_hz, lambda t: np.full(7, t))
    log = run(controller)
    assert len(controller.times) == calls
    assert len(log.t) == 50
    np.testing.assert_allclose(controller.times, np.arange(calls) * hold * 1e-3, atol=1e-12)
    np.testing.assert_allclose(log.torque[:, 0], np.repeat(controller.times, hold))
    assert log.control_period == pytest.approx(hold * 1e-3)


@pytest.mark.parametrize("rate_hz", [300.0, 2000.0, 0.0, -5.0, float("nan")])
def test_rate_that_does_not_divide_is_refused(rate_hz: float) -> None:
    with pytest.raises(BadSetting, match=r"rate_hz = .*must divide the plant's 1000 Hz"):
        plant_steps_per_tick(rate_hz, 1e-3)


def test_torque_buffer_that_the_controller_reuses_is_copied() -> None:
    buffer = np.zeros(7)

    def torque(t: float) -> np.ndarray:
        buffer[:] = t
        return buffer

    log = run(Scripted(torque=torque))
    np.testing.assert_allclose(log.torque[:, 0], log.t)


def test_goals_change_at_their_times() -> None:
    other, controller, plant = GOAL + 0.1, Scripted(200), PointMass()
    log = simulate(plant, controller, q0=np.zeros(7), duration=0.05, goals={0.02: other, 0.0: GOAL})
    np.testing.assert_array_equal(log.goal_in_world[19], GOAL)
    np.testing.assert_array_equal(log.goal_in_world[20], other)
    assert [(calls, goal.tolist()) for calls, goal in controller.goals] == [(0, GOAL.tolist()), (4, other.tolist())]
    assert len(plant.shown) == 2


@pytest.mark.parametrize("goals", [{}, {1.0: GOAL}, {0.0: np.zeros(2)}, np.array([0, 0, np.nan])])
def test_goals_that_make_no_sense_are_refused(goals: object) -> None:
    with pytest.raises(BadSetting, match="goal"):
        run(Scripted(), goals=goals)


def test_impulse_reaches_the_plant_whole() -> None:
    """From 10 to 27 ms: rounding at the edges would add or drop a row."""
    push = ExternalWrench(Sum((Impulse((3, -5, 1), start=0.01, duration=0.017), Sine((7, 0, 0), frequency_hz=20))))
    log = run(Scripted(), disturbances=[push])
    np.testing.assert_allclose(log.impulse, [3, -5, 1], atol=1e-9)
    np.testing.assert_allclose(2 * log.v[-1, :3] + log.wrench_in_world[-1, :3] * 1e-3, log.impulse, atol=1e-12)


def test_wrenches_on_several_links_are_summed_in_the_log() -> None:
    pushes = [ExternalWrench(Step((1, 0, 0), start=0)), ExternalWrench(Step((0, 2, 0), start=0), link="elbow")]
    np.testing.assert_array_equal(run(Scripted(), disturbances=pushes).wrench_in_world[3], [1, 2, 0, 0, 0, 0])


def test_rows_are_the_state_before_the_step() -> None:
    log = run(Scripted(), v0=np.ones(7))
    np.testing.assert_allclose(log.q[:, 0], log.t, atol=1e-12)
    assert log.t[0] == 0
    assert log.t[-1] == pytest.approx(0.049)
    assert log.dt == pytest.approx(1e-3)


def test_each_step_is_announced() -> None:
    times: list[float] = []
    run(Scripted(), on_step=times.append)
    np.testing.assert_allclose(times, np.arange(50) * 1e-3)


def made_log(error: Sequence[float]) -> Log:
    n = len(error)
    tool = np.column_stack([error, np.zeros((n, 2))])
    zeros = np.zeros((n, 7))
    return Log(np.arange(n) * 1e-3, zeros, zeros, zeros, tool, np.zeros((n, 3)), np.zeros((n, 6)), control_period=1e-3)


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        ([0.5, 0.005, 0.02, 0.009, 0.001], 3e-3),  # leaving the centimetre again does not count
        ([0.005, 0.005], 0.0),
        ([0.005, 0.5], None),
        ([0.005, np.nan], None),
        ([0.5, np.nan, 0.0], 2e-3),
    ],
)
def test_settling_time(error: list[float], settled: float | None) -> None:
    assert made_log(error).settling_time_s == settled


def test_log_survives_the_disk(tmp_path: Path) -> None:
    log = run(Scripted(torque=lambda t: np.full(7, t)))
    path = tmp_path / "new" / "log.npz"
    log.save(path)
    again = Log.load(path)
    for name in ("t", "q", "v", "torque", "tool_in_world", "goal_in_world", "wrench_in_world", "control_period"):
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
    assert [file.name for file in path.parent.iterdir()] == ["log.npz"]


def test_foreign_file_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "log.npz"
    with pytest.raises(UsageError, match=r"log\.npz"):
        Log.load(path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(UsageError, match="not a simulation log"):
        Log.load(path)


def test_misbehaving_controller_is_found_out() -> None:
    arm = load_arm("panda")

    def torque(t: float) -> np.ndarray:
        u = arm.gravity_torque(arm.home)
        if t > 0.0495:
            u[6] = 12.5  # limit 12; on joint 7 alone it makes the velocity limit of 2.61 rad/s fall after about 30 ms
        return u

    with BulletPlant(arm) as plant:
        log = simulate(plant, Scripted(500, torque), q0=arm.home, duration=0.4, goals=GOAL)
    assert log.torque_violations(arm) == 350
    assert log.rate_violations == 1  # one jump by 12.5 N m in 2 ms, where 2 N m are allowed
    assert log.velocity_violations(arm) > 0
    assert log.position_violations(arm) > 0
    assert log.summary(arm)["torque_violations"] == 350


def test_limits_themselves_are_no_violation() -> None:
    arm = load_arm("panda")
    log = replace(
        made_log([0.0] * 4),
        torque=np.linspace(arm.torque_limit - 3, arm.torque_limit, 4),
        q=np.array([arm.lower, arm.upper, arm.lower, arm.upper]),
        v=np.tile(arm.velocity_limit, (4, 1)),
    )
    summary = log.summary(arm)
    assert [value for name, value in summary.items() if name.endswith("violations")] == [0, 0, 0, 0]
    for name in ("torque", "q", "v"):
        worse = replace(log, **{name: getattr(log, name) + 1e-6})
        assert sum(worse.summary(arm)[key] or 0 for key in summary if key.endswith("violations")) > 0


def test_torque_that_is_no_number_is_a_violation_in_a_log_and_stops_the_plant() -> None:
    arm = load_arm("panda")
    torque = np.zeros((3, 7))
    torque[1, 4] = np.nan
    log = replace(made_log([0.0] * 3), torque=torque)
    assert log.torque_violations(arm) == 1
    assert log.rate_violations == 2
    broken = Scripted(torque=lambda t: np.full(7, np.nan if t > 0.0095 else 0.0))
    with BulletPlant(arm) as plant, pytest.raises(RunFailed, match=r"at 0\.010 s: torque of joint panda_joint1 is nan"):
        simulate(plant, broken, q0=arm.home, duration=0.1, goals=GOAL)


def test_arm_at_rest_stays_at_rest_and_gives_clean_figures() -> None:
    arm = load_arm("panda")
    with BulletPlant(arm) as plant:
        goal = arm.tool_in_world(arm.home)
        log = simulate(plant, GravityCompensation(arm), q0=arm.home, duration=1.0, goals=goal)
    assert np.abs(log.q - arm.home).max() < 1e-7
    assert log.tool_error_final_m < 1e-6
    assert log.settling_time_s == 0.0
    summary = log.summary(arm)
    assert [value for name, value in summary.items() if name.endswith("violations")] == [0, 0, 0, 0]


def test_run_is_repeatable_to_the_last_bit() -> None:
    arm = load_arm("xarm7")
    logs = []
    for _ in range(2):
        with BulletPlant(arm) as plant:
            logs.append(simulate(plant, GravityCompensation(arm), q0=arm.home, v0=np.ones(7), duration=0.2, goals=GOAL))
    np.testing.assert_array_equal(logs[0].q, logs[1].q)


def test_film_picture_and_plot_are_written(tmp_path: Path) -> None:
    arm = load_arm("iiwa")
    push = ExternalWrench(Impulse((0, -5, 0), start=0.1))
    with BulletPlant(arm, visual=True) as plant:
        log = simulate(plant, GravityCompensation(arm), q0=arm.home, duration=0.3, goals=GOAL, disturbances=[push])
        pictures = film_pictures(plant, log, [push])
        unpushed = film_pictures(plant, log)
        with pytest.raises(BadSetting, match="rate_hz = 0"):
            film_pictures(plant, log, rate_hz=0)
    changed = [not np.array_equal(a, b) for a, b in zip(pictures, unpushed, strict=True)]
    assert changed == [False, False, True, True, False, False]  # the arrow of the push, from 0.1 to 0.2 s
    write_gif(tmp_path / "film.gif", pictures, 20)
    write_png(tmp_path / "picture.png", pictures[0])
    plot_log(log, arm, tmp_path / "plot.png")
    plot_log(log, arm, tmp_path / "plot.svg", title="a push")
    with Image.open(tmp_path / "film.gif") as film:
        assert getattr(film, "n_frames", 1) == 6
        assert film.info["duration"] == 50
        assert film.size == (480, 360)
    assert (tmp_path / "film.gif").stat().st_size < 300_000
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "picture.png")), pictures[0])
    with Image.open(tmp_path / "plot.png") as plot:
        assert min(plot.size) > 600
        assert len(plot.getcolors(1 << 20) or []) > 50
    assert not list(tmp_path.glob("*.part"))
