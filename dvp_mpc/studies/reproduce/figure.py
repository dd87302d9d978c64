"""Figure: one claim of the paper, how its numbers are made for one seed, and when it counts as kept.

    compute(settings, work)      -> result of one seed, JSON-able           may take minutes; kept as a file
    summarise(settings, results) -> verdict and numbers with their spread   cheap, so that bars can be read and argued about
    plot(settings, results, path)                                           draws all seeds

A figure's module imports torch, stable-baselines3 and the simulator inside `compute` only: whoever merely lists the figures
needs none of them.
"""

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dvp_mpc.errors import RunFailed
from dvp_mpc.files import DAMAGED, whole_file

Json = Any  # dict, list, str, float, int, bool, None


class Verdict(str, Enum):
    """What became of a claim."""

    HOLDS = "holds"
    PARTLY = "partly"
    NOT = "not"


@dataclass(frozen=True)
class Work:
    """One seed of one figure."""

    seed: int
    quick: bool
    folder: Path
    """For what is expensive and can be used again, by this figure or another; exists."""

    def kept(self, name: str, identity: object, make: Callable[[], Json]) -> Json:
        """make(), or what an earlier call with this name and identity (compared by its repr) made.

        Lets a long computation be stopped between its parts, and figures share their ground truth.
        """
        return kept(self.folder / f"{name}.json", identity, make)["result"]

    def part(self, name: str, identity: object) -> Path:
        """Path for what is no JSON, of this name and identity (told by its repr)."""
        return self.folder / f"{name}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """One process at a time for each seed: where figures ask for the same parts, the second is to find them made."""
        with (self.folder / f"{what}-seed{self.seed}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Summary(NamedTuple):
    """What the results of all seeds say."""

    verdict: Verdict
    numbers: dict[str, Json]
    remarks: tuple[str, ...] = ()
    """Sentences for the page: what was missed and the measured reason."""


@dataclass(frozen=True)
class Figure:
    """A figure of the paper. compute, summarise and plot are functions of a module, since workers get them by name."""

    number: int
    title: str
    claim: str
    """What the paper shows, in our words."""
    bars: str
    """When the claim counts as kept; `summarise` says the same in code."""
    full: Any
    """Settings: a frozen dataclass, whose repr tells whether a kept result still answers the question."""
    quick: Any
    """Settings of the same kind, for a run of seconds that shows the path and proves nothing."""
    compute: Callable[[Any, Work], Json]
    summarise: Callable[[Any, Sequence[Json]], Summary]
    plot: Callable[[Any, Sequence[Json], Path], None]

    @property
    def name(self) -> str:
        """figure1 to figure11."""
        return f"figure{self.number}"

    def settings(self, quick: bool) -> Any:
        """The settings of a full or a quick run."""
        return self.quick if quick else self.full


def kept(path: Path, identity: object, make: Callable[[], Json]) -> dict[str, Json]:
    """{"identity", "seconds", "result"} from the file; made and written when missing, damaged or another."""
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    try:
        found: dict[str, Json] = json.loads(path.read_text())
        if found["identity"] == digest:
            return found
    except DAMAGED:
        pass
    began = time.monotonic()
    result = make()
    found = {"identity": digest, "seconds": round(time.monotonic() - began, 2), "result": result}
    try:
        text = json.dumps(found, allow_nan=False)
    except ValueError as error:
        raise RunFailed(f"{path}: a result is not finite; give None for what has no number") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(text)
    again: dict[str, Json] = json.loads(path.read_text())  # as a later run will see it: tuples are lists
    return again


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and range over seeds."""
    a = np.array(values, dtype=float)
    return {"mean": float(a.mean()), "std": float(a.std()), "min": float(a.min()), "max": float(a.max())}


def judge(bars: Sequence[bool]) -> Verdict:
    """holds: every bar is kept; not: none is; partly: anything between."""
    if not bars:
        raise ValueError("a claim without a bar cannot be judged")
    return Verdict.HOLDS if all(bars) else Verdict.PARTLY if any(bars) else Verdict.NOT
