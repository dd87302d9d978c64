"""Value files: what was saved comes back to the bit, and a save that is interrupted leaves what was there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.value import Kind, Layout, Value
from dvp_mpc.value_file import Golden, load_value, read_card, save_value


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("on", [True, False])
def test_round_trip_is_exact(
    task: ReachTask,
    golden: Golden,
    facts: dict[str, Any],
    make_value: Callable[..., Value],
    tmp_path: Path,
    kind: Kind,
    on: bool,
) -> None:
    path = tmp_path / "value.safetensors"
    value = make_value(3, kind=kind, riccati=on, barrier=on, anchor=on)
    card = save_value(path, value, task, golden, facts)
    again, card_again = load_value(path, task)
    assert card == card_again == read_card(path)
    assert card.items() >= facts.items()
    assert card["digest"] == task.digest
    assert again.layout == value.layout
    assert all(np.array_equal(*pair) for pair in zip(again.state_limits, value.state_limits, strict=True))
    assert again.weights.keys() == value.weights.keys()
    for name, w in value.weights.items():
        assert np.array_equal(again.weights[name], w)
        assert again.weights[name].dtype == np.float64
    for goal, x, t, Jt in zip(*golden, strict=True):
        assert again.at(goal).cost(x, t) == value.at(goal).cost(x, t)
        for mine, other in zip(again.at(goal).derivatives(x, t, Jt), value.at(goal).derivatives(x, t, Jt), strict=True):
            assert np.array_equal(mine, other)


def test_a_value_without_tool_context_or_limits(linear: LinearTask, facts: dict[str, Any], tmp_path: Path) -> None:
    """The linear task has arrays of size zero and infinite limits."""
    layout, rng = Layout(2, 0, 0, (4,), 3), np.random.default_rng(32)
    weights = {name: np.float32(rng.standard_normal(shape)).astype(float) for name, shape in layout.shapes.items()}
    value, frame = Value(layout, linear.state_limits, weights), linear.origin.frame
    golden = Golden([frame], np.ones((1, 2)), np.zeros((1, 0)), np.zeros((1, 0, 2)))
    save_value(tmp_path / "linear.safetensors", value, linear, golden, facts)
    again, _ = load_value(tmp_path / "linear.safetensors", linear)
    assert again.at(frame).cost(np.ones(2), np.zeros(0)) == value.at(frame).cost(np.ones(2), np.zeros(0))


@pytest.mark.parametrize("there_before", [True, False])
def test_interrupted_save_leaves_no_half_file(
    task: ReachTask,
    value: Value,
    golden: Golden,
    facts: dict[str, Any],
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there_before: bool,
) -> None:
    path = tmp_path / "value.safetensors"
    if there_before:
        path.write_bytes(saved.read_bytes())

    def interrupted(tensors: object, to: Path, metadata: object) -> None:
        Path(to).write_bytes(saved.read_bytes()[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.numpy, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_value(path, value, task, golden, facts)
    assert path.exists() == there_before
    if there_before:
        load_value(path, task)
