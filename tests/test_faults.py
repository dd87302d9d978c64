"""Fault injection: what each kind does to a stream and to a value, and that the seed decides."""

import math
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvp_mpc.fault_plan import STREAM
from dvp_mpc.faults import FailingValue, FaultPlan, Injector
from dvp_mpc.messages import JointMessage
from dvp_mpc.value import GoalFrame, RiccatiValue

NAMES = tuple(f"joint{k}" for k in range(7))
EPOCH = 1_700_000_000 * 10**9  # a wall clock's reading [ns]


def message(k: int) -> JointMessage:
    """The k-th of a stream at 1 kHz whose positions and velocities count."""
    return JointMessage(NAMES, [k + 0.1 * j for j in range(7)], [-k + 0.1 * j for j in range(7)], EPOCH + k * 10**6)


def number(m: JointMessage) -> int:
    return (m.stamp_ns - EPOCH) // 10**6


def arrivals(fault: dict[str, object], steps: int = 100, seed: int = 3) -> list[list[JointMessage]]:
    """What arrives in each millisecond under one fault between 20 and 60 ms, unless the fault says otherwise."""
    window = {"start": 0.02, "duration": 0.04}
    injector = Injector(FaultPlan.read({"seed": seed, "faults": [window | fault]}))
    return [injector.deliver(k * 1e-3, message(k)) for k in range(steps)]


@pytest.mark.parametrize("kind", STREAM)
def test_a_fault_leaves_what_is_outside_its_window_as_it_was(kind: str) -> None:
    extra = {"loss": 0.5} if kind == "intermittent" else {}
    came = arrivals({"kind": kind, **extra}, steps=200)
    assert came[:20] == [[message(k)] for k in range(20)]
    assert came[120:] == [[message(k)] for k in range(120, 200)]
    assert came[20:60] != [[message(k)] for k in range(20, 60)]


def test_off_delivers_nothing() -> None:
    assert not any(arrivals({"kind": "off"})[20:60])


def test_off_lasts_for_ever_unless_told() -> None:
    injector = Injector(FaultPlan.read({"faults": [{"kind": "off"}]}))
    assert injector.deliver(0.0, message(0)) == []
    assert injector.deliver(1e6, message(1)) == []


def test_stuck_repeats_old_values_with_fresh_stamps() -> None:
    for k, (one,) in enumerate(arrivals({"kind": "stuck"})[20:60], start=20):
        assert one == message(20)._replace(stamp_ns=message(k).stamp_ns)


def test_garbage_is_hardly_ever_a_message() -> None:
    came = [one for (one,) in arrivals({"kind": "garbage"}, seed=1)[20:60]]
    assert len({len(one.position) for one in came}) > 3
    assert sum(len(one.names) == len(one.position) == len(one.velocity) == 7 for one in came) < 20
    assert any(one.names != NAMES for one in came)


def test_noise_has_its_spread_on_every_joint_and_keeps_the_stamp() -> None:
    came = arrivals({"kind": "noise", "position": 1e-3, "velocity": 0.1, "start": 0, "duration": 9}, steps=4000)
    dq, dv = (
        np.array([np.subtract(getattr(one, name), getattr(message(k), name)) for k, (one,) in enumerate(came)])
        for name in ("position", "velocity")
    )
    np.testing.assert_allclose(dq.std(axis=0), 1e-3, rtol=0.06)
    np.testing.assert_allclose(dv.std(axis=0), 0.1, rtol=0.06)
    assert abs(np.corrcoef(dq[:-1, 0], dq[1:, 0])[0, 1]) < 0.06, "white"
    assert [number(one) for (one,) in came] == list(range(4000))


def test_bias_is_the_same_in_every_message() -> None:
    for k, (one,) in enumerate(arrivals({"kind": "bias", "position": 0.01, "velocity": -0.2})[20:60], start=20):
        np.testing.assert_allclose(np.subtract(one.position, message(k).position), 0.01)
        np.testing.assert_allclose(np.subtract(one.velocity, message(k).velocity), -0.2)


def test_quantised_is_a_whole_number_of_steps_and_the_nearest() -> None:
    for k, (one,) in enumerate(arrivals({"kind": "quantised", "position": 0.03, "velocity": 0.0})[20:60], start=20):
        steps = np.array(one.position) / 0.03
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
        assert np.abs(np.subtract(one.position, message(k).position)).max() <= 0.015 + 1e-12
        assert one.velocity == message(k).velocity, "a step of 0 is none"


@pytest.mark.parametrize(
    ("how", "sizes"), [("names", (7, 7, 7)), ("missing", (6, 6, 6)), ("doubled", (7, 7, 7)), ("sizes", (7, 7, 6))]
)
def test_wrong_names_and_sizes(how: str, sizes: tuple[int, int, int]) -> None:
    for (one,) in arrivals({"kind": "wrong", "how": how})[20:60]:
        assert (len(one.names), len(one.position), len(one.velocity)) == sizes
        assert set(one.names) != set(NAMES) or how == "sizes"
        assert (len(set(one.names)) < len(one.names)) == (how == "doubled")


def test_slow_delivers_every_nth() -> None:
    came = arrivals({"kind": "slow", "every": 8})
    assert [number(one) for ones in came[20:60] for one in ones] == [20, 28, 36, 44, 52]


def test_delayed_comes_late_and_in_order() -> None:
    came = arrivals({"kind": "delayed", "by": 0.03})
    assert not any(came[20:50])
    assert [number(one) for ones in came[50:60] for one in ones] == list(range(20, 30))
    # After the fault fresh ones arrive first, and what was on its way after them.
    assert [[number(one) for one in ones] for ones in came[60:62]] == [[60, 30], [61, 31]]
    assert sorted(number(one) for ones in came for one in ones) == list(range(100))


def test_delayed_comes_out_without_anything_being_sent() -> None:
    injector = Injector(FaultPlan.read({"faults": [{"kind": "delayed", "by": 0.01}]}))
    assert injector.deliver(0.0, message(0)) == []
    assert injector.deliver(0.005) == []
    assert injector.deliver(0.01) == [message(0)]
    assert injector.deliver(0.02) == []


def test_jitter_stays_in_its_bounds() -> None:
    came = arrivals({"kind": "delayed", "by": 0.005, "jitter": 0.005, "duration": 1.0}, steps=2000)
    late = [k - number(one) for k, ones in enumerate(came[20:1000], start=20) for one in ones]
    assert {5, 6, 7, 8, 9, 10} >= set(late) >= {6, 7, 8, 9}


@given(loss=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_intermittent_loses_its_share(loss: float, seed: int) -> None:
    came = arrivals({"kind": "intermittent", "loss": loss, "start": 0, "duration": 9}, steps=1000, seed=seed)
    lost = sum(not ones for ones in came)
    assert abs(lost - 1000 * loss) < 6 * math.sqrt(1000 * loss * (1 - loss))


@given(burst=st.integers(1, 10), more=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_bursts_have_their_length_and_never_join(burst: int, more: int, seed: int) -> None:
    every = 2 * burst + more
    fault = {"kind": "intermittent", "burst": burst, "every": every, "start": 0, "duration": 9}
    lost = np.array([not ones for ones in arrivals(fault, steps=10 * every, seed=seed)])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
    np.testing.assert_array_equal(edges[1::2] - edges[::2], burst)
    assert len(edges) == 20


def test_reorder_brings_some_after_newer_ones_and_loses_none() -> None:
    came = arrivals({"kind": "reorder", "share": 0.3, "by": 0.004})
    order = [number(one) for ones in came for one in ones]
    assert sorted(order) == list(range(100))
    late = [k for k, ones in enumerate(came) for one in ones if number(one) == k - 4]
    assert 5 < len(late) < 20
    assert all(came[k][-1] == message(k - 4) for k in late), "a receiver of depth 1 is left with the old one"


def test_duplicates_are_exact_and_late() -> None:
    came = arrivals({"kind": "duplicate", "share": 1.0, "by": 0.004})
    assert came[30] == [message(30), message(26)]
    assert sum(map(len, came)) == 140


@pytest.mark.parametrize("where", ["position", "velocity"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_nan_spoils_one_number(where: str, value: str) -> None:
    for k, (one,) in enumerate(arrivals({"kind": "nan", "where": where, "joint": 4, "value": value})[20:60], start=20):
        spoilt, sound = getattr(one, where), list(getattr(message(k), where))
        assert str(spoilt[4]) == value
        sound[4] = spoilt[4]
        assert [str(x) for x in spoilt] == [str(x) for x in sound]
        assert one.stamp_ns == message(k).stamp_ns


def test_size_is_what_was_asked_for() -> None:
    (one,) = arrivals({"kind": "size", "elements": 5000})[30]
    assert len(one.names) == len(one.position) == len(one.velocity) == 5000


def test_jump_moves_one_joint() -> None:
    (one,) = arrivals({"kind": "jump", "joint": 2, "by": 0.25})[30]
    np.testing.assert_allclose(np.array(one.position) - message(30).position, 0.25 * np.eye(7)[2])
    assert one.velocity == message(30).velocity


@pytest.mark.parametrize(
    ("how", "stamp_ns"),
    [
        ("zero", 0),
        ("future", message(30).stamp_ns + 2 * 10**9),
        ("old", message(30).stamp_ns - 2 * 10**9),
        ("other clock", 2 * 10**9 + 10 * 10**6),
    ],
)
def test_stamps(how: str, stamp_ns: int) -> None:
    (one,) = arrivals({"kind": "stamp", "how": how, "by": 2.0})[30]
    assert one == message(30)._replace(stamp_ns=stamp_ns)


def test_faults_act_one_after_the_other() -> None:
    plan = FaultPlan.read({"faults": [{"kind": "slow", "every": 2}, {"kind": "delayed", "by": 0.003}]})
    injector = Injector(plan)
    came = [[number(one) for one in injector.deliver(k * 1e-3, message(k))] for k in range(8)]
    assert came == [[], [], [], [0], [], [2], [], [4]]


@given(
    seed=st.integers(0, 2**63),
    kinds=st.lists(st.sampled_from(sorted(STREAM)), min_size=1, max_size=4),
)
def test_the_seed_decides_and_nothing_raises(seed: int, kinds: list[str]) -> None:
    faults = [{"kind": kind, **({"loss": 0.3} if kind == "intermittent" else {})} for kind in kinds]
    faults = [fault | ({"elements": 3} if fault["kind"] == "size" else {}) for fault in faults]
    runs = []
    for _ in range(2):
        injector = Injector(FaultPlan.read({"seed": seed, "faults": faults}))
        runs.append([repr(injector.deliver(k * 1e-3, message(k))) for k in range(60)])
    assert runs[0] == runs[1]


def test_another_seed_is_another_fault() -> None:
    fault: dict[str, object] = {"kind": "intermittent", "loss": 0.5}
    assert arrivals(fault, seed=1) != arrivals(fault, seed=2)


def test_every_fault_has_a_generator_of_its_own() -> None:
    loss = {"kind": "intermittent", "loss": 0.5}
    alone = Injector(FaultPlan.read({"seed": 1, "faults": [loss]}))
    beside = Injector(FaultPlan.read({"seed": 1, "faults": [loss, {"kind": "garbage", "start": 0.5}]}))
    for k in range(300):
        assert alone.deliver(k * 1e-3, message(k)) == beside.deliver(k * 1e-3, message(k))


def test_an_empty_plan_changes_nothing() -> None:
    assert Injector(FaultPlan()).deliver(0.0, message(0)) == [message(0)]
    assert FaultPlan.read({}).faults == ()


FRAME = GoalFrame(np.zeros(14), np.zeros(3), np.zeros(7), np.eye(14))
ASKED = (np.ones(14), np.ones(3), np.zeros((3, 14)))


def test_a_failing_value_fails_as_planned_and_is_sound_otherwise() -> None:
    plan = FaultPlan.read(
        {
            "faults": [
                {"kind": "solver", "start": 1, "duration": 1, "how": "nan"},
                {"kind": "solver", "start": 3, "duration": 1, "how": "raise"},
            ]
        }
    )
    now = [0.0]
    bound, sound = FailingValue(RiccatiValue(), plan, lambda: now[0]).at(FRAME), RiccatiValue().at(FRAME)
    for now[0] in (0.0, 2.0, 4.0):
        assert bound.cost(*ASKED[:2]) == sound.cost(*ASKED[:2])
        np.testing.assert_array_equal(bound.derivatives(*ASKED)[0], sound.derivatives(*ASKED)[0])
    now[0] = 1.5
    assert math.isnan(bound.cost(*ASKED[:2]))
    assert all(np.isnan(part).all() for part in bound.derivatives(*ASKED))
    now[0] = 3.5
    with pytest.raises(RuntimeError, match="injected"):
        bound.cost(*ASKED[:2])


def test_an_aborting_value_takes_its_process_with_it() -> None:
    code = (
        "from dvp_mpc.faults import FailingValue, FaultPlan\n"
        "from dvp_mpc.value import RiccatiValue\n"
        "plan = FaultPlan.read({'faults': [{'kind': 'solver', 'how': 'abort'}]})\n"
        "FailingValue(RiccatiValue(), plan, lambda: 0.0).fail()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert ended.returncode == -signal.SIGABRT


def test_a_hanging_value_does_not_come_back() -> None:
    plan = FaultPlan.read({"faults": [{"kind": "solver", "how": "hang"}]})
    bound = FailingValue(RiccatiValue(), plan, lambda: 0.0).at(FRAME)
    thread = threading.Thread(target=bound.cost, args=ASKED[:2], daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
