"""Rows of the table of faults: the value and the file it comes from (F24 to F27)."""

import json
import pickle
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import safetensors.numpy

from dvp_mpc.errors import DvpError
from dvp_mpc.models import DEFAULT_MODEL, find_model, load_model
from dvp_mpc.problem.arms import DOF
from dvp_mpc.problem.ocp import build_problem
from dvp_mpc.problem.solver import Status, make_solver, quasi_static_guess, solve
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import RiccatiValue, Value
from dvp_mpc.value_file import LARGEST_FILE, Card, _checksum, _layout, _read
from dvp_mpc_sim.fault_table import Bound, Row, Trial
from dvp_mpc_sim.scenario import FAULTS, Scenario, basis, model

WRONG = 0.2  # relative error above which a value is wrong; on held-out states of training its median is below 0.01
NODES = 300  # of the problem whose cost is taken for the truth


def outside_training(seed: int) -> Trial:
    """States from the whole physical range: those whose value is wrong must be told apart by `trusts`."""
    task, value = model()
    rng = np.random.default_rng([FAULTS, seed, 4])
    goal = task.sample_goal(rng)
    bound = value.at(goal.frame)
    wrong = found = 0
    for _ in range(12):
        share = rng.uniform(-1.0, 1.0, DOF) * rng.uniform(0.3, 1.0)
        x = np.concatenate([rng.uniform(task.arm.lower, task.arm.upper), share * task.arm.velocity_limit])
        solver = make_solver(build_problem(task, goal, x, NODES, RiccatiValue()))
        if solve(solver, *quasi_static_guess(solver.problem, goal.u), iterations=200) is not Status.CONVERGED:
            continue
        if abs(bound.cost(x, task.tool(x)) / solver.cost - 1) > WRONG:
            wrong += 1
            found += not task.trusts(x, goal)
    scene = Scenario(seed, duration=4.0, goal_every=1.5, far=0.4)
    clean = scene.clean()
    ticks = np.flatnonzero(clean.ticked)
    alarms = sum(not task.trusts(np.concatenate([clean.q[k], clean.v[k]])) for k in ticks)
    return basis(scene, clean) | {
        "wrong": wrong,
        "missed": wrong - found,
        "false_alarms_share": alarms / len(ticks),
    }


def bad_value(seed: int) -> Trial:
    """A file that is whole and consistent, whose network is not the one that was saved."""
    rng = np.random.default_rng([FAULTS, seed, 5])
    card, tensors = _read(find_model(DEFAULT_MODEL))
    weights = [name for name in tensors if name.startswith("weights.") and not name.endswith(("mean", "scale"))]
    sound, probes = _value(card, tensors), _probes(rng)
    loaded = []
    changes: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda w: -w,
        lambda w: w * np.float32(rng.choice([0.1, 0.5, 0.9, 1.1, 2, 10])),
        np.zeros_like,
        lambda w: rng.permutation(w.ravel()).reshape(w.shape),
    ]
    for k in range(10):
        at = weights if k % 2 else [str(rng.choice(weights))]
        change = changes[k % 4] if k < 8 else changes[int(rng.integers(3))]
        forged = {name: change(w).astype(w.dtype) if name in at else w for name, w in tensors.items()}
        other = _value(card, forged)
        # Some numbers may change without changing the value: the sign of a barrier's weight, the last layer's offset.
        if not np.allclose([_cost(other, x) for x in probes], [_cost(sound, x) for x in probes], rtol=1e-8):
            loaded.append(_loads(_file(card, forged)) is not None)
    return {"files": len(loaded), "taken": sum(loaded)}


def _value(card: Card, tensors: dict[str, np.ndarray]) -> Value:
    layout = _layout(find_model(DEFAULT_MODEL), card["layout"])
    weights = {name: tensors[f"weights.{name}"].astype(float) for name in layout.shapes}
    return Value(layout, (tensors["limits.lower"], tensors["limits.upper"]), weights)


def _probes(rng: np.random.Generator) -> np.ndarray:
    """States (n, 14) from the whole physical range and a little beyond."""
    arm = model()[0].arm
    half, middle = 0.55 * (arm.upper - arm.lower), (arm.upper + arm.lower) / 2
    q = middle + half * rng.uniform(-1, 1, (20, DOF))
    return np.hstack([q, 1.1 * arm.velocity_limit * rng.uniform(-1, 1, (20, DOF))])


def _cost(value: Value, x: np.ndarray) -> float:
    task = model()[0]
    return value.at(_goal().frame).cost(x, task.tool(x))


@lru_cache(maxsize=1)
def _goal() -> Goal:
    return model()[0].sample_goal(np.random.default_rng(FAULTS))


def damaged_file(seed: int) -> Trial:
    """Bytes changed, cut, put in or taken out; cards of other problems."""
    rng = np.random.default_rng([FAULTS, seed, 6])
    sound = find_model(DEFAULT_MODEL).read_bytes()
    card, tensors = _read(find_model(DEFAULT_MODEL))
    header = 8 + int.from_bytes(sound[:8], "little")
    taken = taken_in_remarks = 0
    for k in range(100):
        data = bytearray(sound)
        at = int(rng.integers(header if k % 2 else len(data)))  # half of them where the facts stand
        if k % 5 == 0:
            del data[at:]
        elif k % 5 == 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif k % 5 == 2:
            data[at : at + 8] = rng.bytes(8)
        elif k % 5 == 3:
            del data[at : at + int(rng.integers(1, 100))]
        else:
            data = bytearray(_file(_other_problem(card, rng), tensors))
        if bytes(data) != sound and (text := _loads(bytes(data))):
            remarks = k % 5 != 4 and _same_facts(text, card)
            taken_in_remarks += remarks
            taken += not remarks
    return {"mutations": 100, "taken": taken, "taken_with_another_remark": taken_in_remarks}


def hostile_file(seed: int) -> Trial:
    rng = np.random.default_rng([FAULTS, seed, 7])
    taken = ran = 0
    with tempfile.TemporaryDirectory() as folder:
        marker, sound = Path(folder, "ran"), find_model(DEFAULT_MODEL)
        for k in range(10):
            path = Path(folder, f"value{k}.safetensors")
            if k % 4 == 0:
                path.write_bytes(pickle.dumps(_Touch(str(marker)), protocol=int(rng.integers(6))))
            elif k % 4 == 1:
                with path.open("wb") as file:  # sparse: it takes no room
                    file.write(sound.read_bytes())
                    file.truncate(LARGEST_FILE + int(rng.integers(1, 2**30)))
            elif k % 4 == 2:
                path.write_bytes(int(rng.integers(2**40, 2**62)).to_bytes(8, "little") + sound.read_bytes()[8:])
            name = ["../" * 3 + "etc/passwd", "../models/../../secret", "/dev/zero", "a\x00b"][int(rng.integers(4))]
            try:
                load_model(name if k % 4 == 3 else str(path))
                taken += 1
            except (DvpError, ValueError) as error:
                ran += not isinstance(error, DvpError)  # a refusal is one of ours
        ran += marker.exists()
    return {"files": 10, "taken": taken, "ran": ran}


class _Touch:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


def _other_problem(card: Card, rng: np.random.Generator) -> Card:
    other = json.loads(json.dumps(card))
    task = other["task"]
    change = int(rng.integers(5))
    if change == 0:
        task["arm"] = str(rng.choice(["xarm7", "iiwa", "talos_arm", "ur5"]))
    elif change == 1:
        task["dt"] = float(task["dt"] * rng.choice([0.1, 0.5, 2.0, 1.01]))
    elif change == 2:
        task["joint_names"] = [str(name) for name in np.roll(task["joint_names"], int(rng.integers(1, DOF)))]
    elif change == 3:
        task["weights"]["tool"] *= float(rng.uniform(1.01, 3))
    else:
        other["digest"] = rng.bytes(32).hex()
    return dict(other)


def _file(card: Card, tensors: dict[str, np.ndarray]) -> bytes:
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors.numpy.save(whole, {"card": json.dumps({**card, "tensors_sha256": _checksum(whole)})})


def _loads(data: bytes) -> Card | None:
    """Its card when it is taken."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "value.safetensors")
        path.write_bytes(data)
        try:
            return load_model(str(path))[2]
        except DvpError:
            return None


def _same_facts(found: Card, card: Card) -> bool:
    """Whether two cards differ only in what says nothing about the value: when, how and how well it was made."""
    facts = ("format", "task", "digest", "layout", "tensors_sha256")
    return all(found[name] == card[name] for name in facts)


ROWS = [
    Row(
        "F24",
        "state outside what the value was trained on",
        "of the states with a wrong value >= 95 % detected; false alarms <= 0.5 %",
        outside_training,
        (
            Bound("wrong", "sum", least=1),
            Bound("missed", most=0.05, per="wrong"),
            Bound("false_alarms_share", "mean", most=0.005),
        ),
        15,
        1,
    ),
    Row(
        "F25",
        "bad value: sign, scale, zeros, shuffled weights",
        "refused by golden outputs, 100 %",
        bad_value,
        (Bound("files", "sum"), Bound("taken", "sum", most=0)),
        20,
        3,
    ),
    Row(
        "F26",
        "model file corrupt, truncated, of another arm, dt, joint order",
        "0 of 1000 mutations taken",
        damaged_file,
        (
            Bound("mutations", "sum"),
            Bound("taken", "sum", most=0),
            Bound("taken_with_another_remark", "sum", most=0),
        ),
        10,
        2,
    ),
    Row(
        "F27",
        "pickle, oversize or path traversal as model file",
        "refused, no code run, 100 of 100",
        hostile_file,
        (Bound("files", "sum"), Bound("taken", "sum", most=0), Bound("ran", "sum", most=0)),
        10,
        2,
    ),
]
