"""Fault plans: what a file says is what is read, and a bad one is refused by name."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvp_mpc.errors import BadSetting, UnknownChoice, UsageError
from dvp_mpc.fault_plan import KINDS
from dvp_mpc.faults import FaultPlan


def test_plan_is_read_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "seed: 7\n"
        "faults:\n"
        "  - {kind: delayed, start: 1.0, duration: 0.5, by: 0.03}\n"
        "  - {kind: signal, start: 2, signal: SIGKILL}\n"
        "  - {kind: solver, start: 3, how: hang}\n"
    )
    plan = FaultPlan.load(file)
    assert plan.seed == 7
    assert [fault.kind for fault in plan.faults] == ["delayed", "signal", "solver"]
    assert plan.faults[0].parameters == {"by": 0.03, "jitter": 0.0}
    assert plan.faults[1].duration == math.inf
    assert plan.active(1.49, "delayed")
    assert not plan.active(1.5, "delayed")
    assert plan.beginning(1.9, 2.0, "signal")[0].parameters["signal"] == "SIGKILL"
    assert not plan.beginning(2.0, 2.1, "signal")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (None, "fault plan = None: must be a mapping with seed, faults"),
        ([], "fault plan = []"),
        ({"sed": 1}, "unknown field of fault plan 'sed'; valid choices: seed, faults"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": True}, "seed = True"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"faults": {}}, "faults = {}: must be a list"),
        ({"faults": ["off"]}, "faults[0] = 'off'"),
        ({"faults": [{}]}, "unknown faults[0].kind None; valid choices: off, stuck,"),
        ({"faults": [{"kind": "off"}, {"kind": "of"}]}, "unknown faults[1].kind 'of'"),
        ({"faults": [{"kind": ["off"]}]}, "unknown faults[0].kind ['off']"),
        (
            {"faults": [{"kind": "slow", "evry": 2}]},
            "unknown field of faults[0] (slow) 'evry'; valid choices: kind, start",
        ),
        ({"faults": [{"kind": "slow", 3: 2}]}, "unknown field of faults[0] (slow) 3"),
        ({"faults": [{"kind": "slow", "every": 0}]}, "faults[0].every = 0: must be a whole number in [1, 1e+06]"),
        ({"faults": [{"kind": "slow", "every": 2.5}]}, "faults[0].every = 2.5"),
        ({"faults": [{"kind": "slow", "start": -1}]}, "faults[0].start = -1: must be a number in [0, 1e+06]"),
        ({"faults": [{"kind": "slow", "start": math.nan}]}, "faults[0].start = nan"),
        ({"faults": [{"kind": "slow", "start": None}]}, "faults[0].start = None"),
        ({"faults": [{"kind": "slow", "duration": "1 s"}]}, "faults[0].duration = '1 s'"),
        ({"faults": [{"kind": "intermittent"}]}, "needs either loss"),
        ({"faults": [{"kind": "intermittent", "loss": 0.1, "burst": 2}]}, "needs either loss"),
        ({"faults": [{"kind": "intermittent", "loss": 1.5}]}, "faults[0].loss = 1.5: must be a number in [0, 1]"),
        (
            {"faults": [{"kind": "intermittent", "burst": 6, "every": 10}]},
            "faults[0].every = 10: must be at least 2 burst = 12",
        ),
        (
            {"faults": [{"kind": "nan", "value": "zero"}]},
            "unknown faults[0].value 'zero'; valid choices: nan, inf, -inf",
        ),
        ({"faults": [{"kind": "nan", "value": [1]}]}, "unknown faults[0].value [1]"),
        ({"faults": [{"kind": "stamp", "how": "late"}]}, "valid choices: zero, future, old, other clock"),
        ({"faults": [{"kind": "solver", "how": "die"}]}, "valid choices: nan, raise, hang, abort"),
        ({"faults": [{"kind": "signal", "signal": "SIGSOP"}]}, "valid choices: SIGSTOP,"),
    ],
)
def test_a_bad_plan_is_refused_by_name(plan: object, said: str) -> None:
    with pytest.raises((BadSetting, UnknownChoice)) as caught:
        FaultPlan.read(plan)
    assert said in str(caught.value)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(sorted(KINDS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["seed", "faults", "kind", "start", "by", "loss", "every"]), inner, max_size=4
        )
    ),
)


@given(plan=json_like)
def test_any_plan_is_read_or_refused(plan: object) -> None:
    try:
        FaultPlan.read(plan)
    except UsageError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"faults: [", "not YAML"),
        (b"\xff\xfe\x00\xd8", "not YAML"),
        (b"a: 2001-99-99", "not YAML"),
        (b"!!python/object/apply:os.system ['true']", "not YAML"),
        (b"x" * (2**18 + 1), "larger than 256 KiB"),
        (b"[" * 100_000, "not YAML"),
        (b"faults: [{kind: of}]", "faults[0].kind"),
        (b"", "must be a mapping"),
    ],
)
def test_a_bad_file_is_refused_and_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        FaultPlan.load(file)
    assert said in str(caught.value)
    assert "plan.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"nowhere\.yaml.*no such file"):
        FaultPlan.load(tmp_path / "nowhere.yaml")
