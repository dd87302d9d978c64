"""One frozen value, one file: safetensors with a JSON card in its header. No pickle; loading runs no code.

The card says what the value was made for (arm, joints, tool frame, dt, task digest, trust box), how (command, settings,
versions) and how good it is, and carries golden inputs and outputs. Loading checks all of it and refuses by field name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from dvp_mpc.errors import BadSetting, ModelFileError, ValueMismatch
from dvp_mpc.files import whole_file
from dvp_mpc.value import GoalFrame, Kind, Layout, Value

FORMAT = 1
LARGEST_FILE = 64 * 2**20  # [bytes] a hundred times the shipped value; more is no value of ours
GOLDEN_TOLERANCE = 1e-8  # relative; another BLAS rounds differently, another network does not come near

Card = dict[str, Any]

REQUIRED: dict[str, type] = {
    "format": int,
    "task": dict,
    "digest": str,
    "layout": dict,
    "accuracy": dict,
    "training": dict,
    "versions": dict,
    "date": str,
    "command": str,
    "tensors_sha256": str,
}


class Problem(Protocol):
    """What a value is checked against; every Task is one."""

    @property
    def digest(self) -> str: ...
    def describe(self) -> dict[str, object]: ...


class Golden(NamedTuple):
    """States with the value's own answers, to prove that a loaded value is the one that was saved."""

    goals: list[GoalFrame]
    x: np.ndarray  # (n, nx)
    t: np.ndarray  # (n, nt)
    Jt: np.ndarray  # (n, nt, nx)


def save_value(path: Path, value: Value, problem: Problem, golden: Golden, facts: Mapping[str, object]) -> Card:
    """Write value and card in one step, so that an interruption leaves no half file; returns the card.

    facts: accuracy, training, versions, date and command.
    """
    tensors = {f"weights.{name}": w.astype(np.float32) for name, w in value.weights.items()}
    tensors |= {"limits.lower": value.state_limits[0], "limits.upper": value.state_limits[1]}
    for name, column in zip(GoalFrame._fields, zip(*golden.goals, strict=True), strict=True):
        tensors[f"golden.goal_{name}"] = np.stack(column)
    stored = Value(value.layout, value.state_limits, {k: np.float32(w).astype(float) for k, w in value.weights.items()})
    V, Vx = _answers(stored, golden)
    tensors |= {"golden.x": golden.x, "golden.t": golden.t, "golden.Jt": golden.Jt, "golden.V": V, "golden.Vx": Vx}
    card: Card = {
        "format": FORMAT,
        "task": problem.describe(),
        "digest": problem.digest,
        "layout": {**asdict(value.layout), "kind": value.layout.kind.value},
        **facts,
        "tensors_sha256": _checksum(tensors),
    }
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with whole_file(path) as part:
        text = json.dumps(card)
        safetensors.numpy.save_file(contiguous, part, {"card": text, "card_sha256": _digest(text)})
    return json.loads(json.dumps(card))


def read_card(path: Path) -> Card:
    """The card alone, checked for its fields; raises ModelFileError."""
    return _read(path)[0]


def load_value(path: Path, problem: Problem) -> tuple[Value, Card]:
    """The value in a file, after every check.

    Raises ModelFileError for a file that is missing, damaged or foreign, and ValueMismatch, naming the first field that
    differs, for one that was made for another problem.
    """
    card, tensors = _read(path)
    _match(path, card, problem)
    if _checksum(tensors) != card["tensors_sha256"]:
        raise ModelFileError(path, "tensors_sha256", "the numbers are not those that were saved")
    layout = _layout(path, card["layout"])
    for name, shape in _shapes(layout, tensors).items():
        if name not in tensors or tensors[name].shape != shape:
            found = tensors[name].shape if name in tensors else "nothing"
            raise ModelFileError(path, name, f"layout asks for shape {shape}, file has {found}")
        if name.startswith("weights.") and not np.isfinite(tensors[name]).all():
            raise ModelFileError(path, name, "not finite")
    weights = {name: tensors[f"weights.{name}"].astype(float) for name in layout.shapes}
    value = Value(layout, (tensors["limits.lower"], tensors["limits.upper"]), weights)
    columns = [tensors[f"golden.goal_{name}"] for name in GoalFrame._fields]
    goals = [GoalFrame(*rows) for rows in zip(*columns, strict=True)]
    golden = Golden(goals, tensors["golden.x"], tensors["golden.t"], tensors["golden.Jt"])
    for name, answer in zip(("V", "Vx"), _answers(value, golden), strict=True):
        if not np.allclose(answer, tensors[f"golden.{name}"], rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
            raise ModelFileError(path, f"golden.{name}", "this value does not give the answers it was saved with")
    return value, card


def _read(path: Path) -> tuple[Card, dict[str, np.ndarray]]:
    if not path.is_file():
        raise ModelFileError(path, "file", "no such file")
    if path.stat().st_size > LARGEST_FILE:
        raise ModelFileError(path, "file", f"larger than {LARGEST_FILE >> 20} MiB: no value of this package")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:  # the last two: bf16, float8
        raise ModelFileError(path, "file", f"not a safetensors file ({error})") from error
    if _digest(metadata.get("card", "")) != metadata.get("card_sha256"):
        raise ModelFileError(path, "card", "missing, or not the one that was saved")
    try:
        card = json.loads(metadata["card"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelFileError(path, "card", "not JSON") from error
    if not isinstance(card, dict):
        raise ModelFileError(path, "card", "not a JSON object")
    if card.get("format") is True or card.get("format") != FORMAT:  # JSON's true equals 1
        raise ModelFileError(path, "format", f"is {card.get('format')!r}, this version reads {FORMAT}")
    for name, kind in REQUIRED.items():
        if type(card.get(name)) is not kind:  # isinstance takes true for an int
            raise ModelFileError(path, name, f"missing or not {kind.__name__}")
    return card, tensors


def _match(path: Path, card: Card, problem: Problem) -> None:
    here = json.loads(json.dumps(problem.describe()))
    for name, wanted in here.items():
        found = card["task"].get(name)
        if found == wanted:
            continue
        if isinstance(wanted, dict) and isinstance(found, dict):
            inner = next(k for k in {**wanted, **found} if k not in found or k not in wanted or found[k] != wanted[k])
            raise ValueMismatch(path, f"{name}.{inner}", found.get(inner), wanted.get(inner))
        raise ValueMismatch(path, name, found, wanted)
    if card["digest"] != problem.digest:
        raise ValueMismatch(path, "digest", card["digest"][:12], problem.digest[:12] + " (the arm's inertias differ)")


def _layout(path: Path, facts: dict[str, Any]) -> Layout:
    try:
        layout = Layout(**{**facts, "hidden": tuple(facts["hidden"]), "kind": Kind(facts["kind"])})
        for field in fields(Layout):
            found = getattr(layout, field.name)
            if field.type in (int, bool) and type(found) is not field.type:  # isinstance takes True for an int
                raise TypeError(f"{field.name} = {found!r} is not {field.type.__name__}")
        _ = layout.shapes  # sizes that are no numbers show here
    except (TypeError, KeyError, ValueError, OverflowError, BadSetting) as error:
        raise ModelFileError(path, "layout", f"not a layout ({error})") from error
    return layout


def _shapes(layout: Layout, tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a file with this layout holds."""
    nx, nt, nc = layout.nx, layout.nt, layout.nc
    # At least one: a value without golden outputs proves nothing.
    n = max(tensors["golden.V"].size, 1) if "golden.V" in tensors else 1
    golden = {"V": (), "Vx": (nx,), "x": (nx,), "t": (nt,), "Jt": (nt, nx)}
    golden |= {"goal_x": (nx,), "goal_tool": (nt,), "goal_context": (nc,), "goal_root": (nx, nx)}
    shapes = {f"weights.{name}": shape for name, shape in layout.shapes.items()}
    shapes |= {"limits.lower": (nx,), "limits.upper": (nx,)}
    return shapes | {f"golden.{name}": (n, *shape) for name, shape in golden.items()}


def _answers(value: Value, golden: Golden) -> tuple[np.ndarray, np.ndarray]:
    V, Vx = [], []
    for goal, x, t, Jt in zip(golden.goals, golden.x, golden.t, golden.Jt, strict=True):
        bound = value.at(goal)
        V.append(bound.cost(x, t))
        Vx.append(bound.derivatives(x, t, Jt)[0])
    return np.array(V), np.array(Vx)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
