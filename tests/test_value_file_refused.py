"""Value files: what was damaged, forged or made for another problem is refused by field."""

import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from dvp_mpc import value_file
from dvp_mpc.errors import ModelFileError, ValueMismatch
from dvp_mpc.problem.arm import load_arm
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.reach_settings import ReachWeights
from dvp_mpc.value import Value
from dvp_mpc.value_file import Golden, load_value, read_card


def take_apart(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["card"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def put_together(path: Path, card: object, tensors: dict[str, np.ndarray]) -> None:
    text = card if isinstance(card, str) else json.dumps(card)
    safetensors.numpy.save_file(tensors, path, {"card": text, "card_sha256": value_file._digest(text)})


Damage = Callable[[Path], None]


def edit(change: Callable[[dict[str, Any], dict[str, np.ndarray]], object], checksum: bool = True) -> Damage:
    """A careful forger: change card or tensors and, if asked, put the checksum right."""

    def damage(path: Path) -> None:
        card, tensors = take_apart(path)
        card, tensors = deepcopy(card), {name: a.copy() for name, a in tensors.items()}
        changed = change(card, tensors)
        if checksum:
            card["tensors_sha256"] = value_file._checksum(tensors)
        put_together(path, changed if isinstance(changed, str) else card, tensors)

    return damage


def cut(share: float) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])  # type: ignore[return-value]


def flip_weight_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[:8], "little")
    start = json.loads(data[8 : 8 + header])["weights.W1"]["data_offsets"][0]
    data[8 + header + start] ^= 1  # the last bit of one float32's mantissa
    path.write_bytes(data)


def nudge(name: str, factor: float) -> Callable[[dict[str, Any], dict[str, np.ndarray]], object]:
    def change(card: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors[name].flat[0] *= factor

    return change


def as_bfloat16(path: Path) -> None:
    """The number format that other people's model files come in, and that NumPy does not have."""
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    fields = json.loads(data[8 : 8 + header])
    for name, entry in fields.items():
        if name != "__metadata__":
            entry["dtype"] = "BF16"
            entry["shape"] = [(entry["data_offsets"][1] - entry["data_offsets"][0]) // 2]
    text = json.dumps(fields).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + header :])


def flip_card_bit(path: Path) -> None:
    """In the date, which nothing else would notice."""
    data = path.read_bytes()
    path.write_bytes(data.replace(read_card(path)["date"].encode(), b"2026-11-33", 1))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a bit of the card's date": (flip_card_bit, "card"),
    "missing": (Path.unlink, "file"),
    "empty": (cut(0.0), "file"),
    "first byte": (lambda p: p.write_bytes(p.read_bytes()[:1]), "file"),  # type: ignore[dict-item,return-value]
    "half": (cut(0.5), "file"),
    "last byte gone": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "file"),  # type: ignore[dict-item,return-value]
    "random bytes": (lambda p: p.write_bytes(np.random.default_rng(33).bytes(5000)), "file"),  # type: ignore[dict-item,return-value]
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"W0": np.ones(3)})), "file"),  # type: ignore[dict-item,return-value]
    "text": (lambda p: p.write_text('{"weights": []}'), "file"),  # type: ignore[dict-item,return-value]
    "folder": (lambda p: (p.unlink(), p.mkdir()), "file"),  # type: ignore[dict-item,return-value]
    "bfloat16": (as_bfloat16, "file"),
    "no card": (lambda p: safetensors.numpy.save_file(take_apart(p)[1], p), "card"),
    "card is no JSON": (edit(lambda card, tensors: "{'format': 1}"), "card"),
    "card is a list": (edit(lambda card, tensors: "[1]"), "card"),
    "card is a pit": (edit(lambda card, tensors: "[" * 100_000), "card"),
    "other format": (edit(lambda card, tensors: card.update(format=2)), "format"),
    "no format": (edit(lambda card, tensors: card.pop("format")), "format"),
    "no accuracy": (edit(lambda card, tensors: card.pop("accuracy")), "accuracy"),
    "no checksum": (
        edit(lambda card, tensors: json.dumps({k: card[k] for k in card if k[:3] != "ten"})),
        "tensors_sha256",
    ),
    "digest is a number": (edit(lambda card, tensors: card.update(digest=7)), "digest"),
    "task is a list": (edit(lambda card, tensors: card.update(task=[])), "task"),
    "task says nothing": (edit(lambda card, tensors: card.update(task={})), "task"),
    "joint order": (edit(lambda card, tensors: card["task"]["joint_names"].reverse()), "joint_names"),
    "a weight more": (edit(lambda card, tensors: card["task"]["weights"].update(jerk=1.0)), "weights.jerk"),
    "a weight less": (edit(lambda card, tensors: card["task"]["weights"].pop("tool")), "weights.tool"),
    "weights are a number": (edit(lambda card, tensors: card["task"].update(weights=3)), "weights"),
    "other digest": (edit(lambda card, tensors: card.update(digest="0" * 64)), "digest"),
    "flipped weight bit": (flip_weight_bit, "tensors_sha256"),
    "checksum of another": (edit(lambda card, tensors: card.update(tensors_sha256="0" * 64), False), "tensors_sha256"),
    "layout has no size": (edit(lambda card, tensors: card["layout"].pop("nx")), "layout"),
    "layout of an unknown kind": (edit(lambda card, tensors: card["layout"].update(kind="oracle")), "layout"),
    "layout size is a word": (edit(lambda card, tensors: card["layout"].update(nt="three")), "layout"),
    "layout size is infinite": (edit(lambda card, tensors: card["layout"].update(nt=float("inf"))), "layout"),
    "layout flag is a word": (edit(lambda card, tensors: card["layout"].update(riccati="x")), "layout"),
    "layout size is a flag": (edit(lambda card, tensors: card["layout"].update(nt=True)), "layout"),
    "format is a flag": (edit(lambda card, tensors: card.update(format=True)), "format"),
    "layout is too narrow": (edit(lambda card, tensors: card["layout"].update(nr=3)), "layout"),
    "layout is wider": (edit(lambda card, tensors: card["layout"].update(hidden=[20, 17])), "weights.W1"),
    "layout is deeper": (edit(lambda card, tensors: card["layout"].update(hidden=[20, 16, 16])), "weights.W2"),
    "weight missing": (edit(lambda card, tensors: tensors.pop("weights.c0")), "weights.c0"),
    "weight not a number": (edit(nudge("weights.W0", np.nan)), "weights.W0"),
    "limits missing": (edit(lambda card, tensors: tensors.pop("limits.lower")), "limits.lower"),
    "golden answers missing": (edit(lambda card, tensors: tensors.pop("golden.V")), "golden.V"),
    "golden states missing": (edit(lambda card, tensors: tensors.pop("golden.Jt")), "golden.Jt"),
    "golden set empty": (
        edit(lambda card, tensors: tensors.update({k: v[:0] for k, v in tensors.items() if k[:4] == "gold"})),
        "golden.V",
    ),
    "other golden value": (edit(nudge("golden.V", 1 + 1e-6)), "golden.V"),
    "other golden gradient": (edit(nudge("golden.Vx", 1 + 1e-6)), "golden.Vx"),
    "sign of all weights": (
        edit(lambda card, tensors: np.negative(tensors["weights.S"], tensors["weights.S"])),
        "golden.V",
    ),
    "scale of the output": (
        edit(lambda card, tensors: tensors.update({"weights.W2": 2 * tensors["weights.W2"]})),
        "golden.V",
    ),
    "zeros": (edit(lambda card, tensors: tensors.update({"weights.S": 0 * tensors["weights.S"]})), "golden.V"),
    "limits elsewhere": (
        edit(lambda card, tensors: tensors.update({"limits.upper": tensors["limits.upper"] + 1})),
        "golden.V",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file_is_refused_by_field(task: ReachTask, saved: Path, tmp_path: Path, name: str) -> None:
    damage, field = DAMAGES[name]
    path = tmp_path / "value.safetensors"
    path.write_bytes(saved.read_bytes())
    load_value(path, task)  # sound before
    damage(path)
    with pytest.raises(ModelFileError) as error:
        load_value(path, task)
    assert error.value.field == field
    assert error.value.path == path
    assert "\n" not in str(error.value)


def test_oversize_is_refused_unread(task: ReachTask, saved: Path, tmp_path: Path) -> None:
    """A file like any other but for its size: the header may name a tensor that fills all memory."""
    card, tensors = take_apart(saved)
    path = tmp_path / "value.safetensors"
    put_together(path, card, tensors | {"padding": np.zeros(value_file.LARGEST_FILE // 8)})
    with pytest.raises(ModelFileError, match="larger than 64 MiB"):
        load_value(path, task)


PROBLEMS: dict[str, tuple[Callable[[ReachTask], ReachTask], str]] = {
    "time step": (lambda t: replace(t, dt=0.02), "dt"),
    "weight": (lambda t: replace(t, weights=ReachWeights(torque=1e-3)), "weights.torque"),
    "box": (lambda t: replace(t, box=replace(t.box, speed=1.0)), "box.speed"),
    "tool frame": (lambda t: replace(t, arm=load_arm("panda", tool_frame="panda_hand")), "tool_frame"),
    "arm": (lambda t: replace(t, arm=load_arm("xarm7")), "arm"),
    "home": (lambda t: replace(t, arm=replace(t.arm, home=t.arm.home + 0.1)), "home"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_value_of_another_problem_is_refused_by_field(task: ReachTask, saved: Path, name: str) -> None:
    change, field = PROBLEMS[name]
    here = change(task)
    with pytest.raises(ValueMismatch) as error:
        load_value(saved, here)
    assert error.value.field == field
    theirs, ours = (json.loads(json.dumps(t.describe())) for t in (task, here))
    for part in field.split("."):
        theirs, ours = theirs[part], ours[part]
    assert (error.value.in_file, error.value.wanted) == (theirs, ours)
    assert str(ours) in str(error.value)


def test_other_inertia_is_refused(task: ReachTask, saved: Path) -> None:
    model = task.arm.model.copy()
    model.inertias[4].mass *= 1.05
    with pytest.raises(ValueMismatch, match="inertias differ") as error:
        load_value(saved, replace(task, arm=replace(task.arm, model=model)))
    assert error.value.field == "digest"


def test_two_hundred_mutations(task: ReachTask, value: Value, golden: Golden, saved: Path, tmp_path: Path) -> None:
    """Whatever happens to the bytes, the file is refused in one way or still holds the very same value."""
    sound, rng, path = saved.read_bytes(), np.random.default_rng(34), tmp_path / "value.safetensors"
    header = 8 + int.from_bytes(sound[:8], "little")
    refused = 0
    for k in range(200):
        data = bytearray(sound)
        if k % 4 == 0:
            del data[rng.integers(len(data)) :]
        elif k % 4 == 1:
            start = rng.integers(len(data))
            del data[start : start + rng.integers(1, 9)]
        else:  # half of the overwritten bytes in the header, where the names and sizes are
            for at in rng.integers(header if k % 4 == 2 else len(data), size=rng.integers(1, 5)):
                data[at] = (
                    rng.integers(256) if rng.uniform() < 0.5 else ord(rng.choice(list('0123456789".,:[]{}eE-x ')))
                )
        path.write_bytes(data)
        try:
            again, _ = load_value(path, task)
        except ModelFileError:
            refused += 1
            continue
        assert again.layout == value.layout
        assert all(np.array_equal(again.weights[name], w) for name, w in value.weights.items())
        assert all(np.array_equal(*pair) for pair in zip(again.state_limits, value.state_limits, strict=True))
        assert again.at(golden.goals[0]).cost(golden.x[0], golden.t[0]) == value.at(golden.goals[0]).cost(
            golden.x[0], golden.t[0]
        )
    # A few land in the card's free text or change a byte to itself; nearly all must be seen.
    assert refused > 150
