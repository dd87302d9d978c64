"""Ray's workers do what local ones do, on a real cluster of two."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.cli import main
from dvp_mpc.errors import RunFailed, UnknownChoice
from dvp_mpc.learning.dataset import CHUNK, collect
from dvp_mpc.learning.settings import Sampling
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal
from dvp_mpc.value import RiccatiValue, Value
from dvp_mpc.workers import unordered

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
import ray

from dvp_mpc import cluster
from dvp_mpc.cluster import ray_cluster, ray_unordered

SAMPLING = Sampling(problems=50, horizon=10, nodes=(0, 2, 5), per_goal=1)  # two chunks of 20 and one of 10


@pytest.fixture(scope="module", autouse=True)
def address() -> Iterator[str]:
    """HOST:PORT of a cluster with two workers."""
    with ray_cluster("local", jobs=2):
        yield ray.get_runtime_context().gcs_address


def test_every_task_ends_once_and_none_is_drawn_early() -> None:
    drawn: list[int] = []
    tasks = (drawn.append(k) or k for k in range(9))  # type: ignore[func-returns-value]
    done = []
    for item, result, death in ray_unordered(lambda k: np.full(3, k), tasks, 2):
        done.append((item, result.tolist(), death))
        assert len(drawn) <= len(done) + 1
        result += 1  # belongs to the caller, as a local worker's
    assert sorted(done) == [(k, [k] * 3, None) for k in range(9)]


def test_killed_worker_costs_its_own_task() -> None:
    def work(k: int) -> int:
        if k == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return -k

    ended = {done.task: done for done in ray_unordered(work, range(8), -1)}
    assert isinstance(ended.pop(3).death, ray.exceptions.WorkerCrashedError)
    assert {k: done[1:] for k, done in ended.items()} == {k: (-k, None) for k in (0, 1, 2, 4, 5, 6, 7)}


def test_exceptions_of_the_function_are_raised_as_they_are() -> None:
    def work(k: int) -> None:
        raise UnknownChoice("colour", k, ["red"])

    with pytest.raises(UnknownChoice, match=r"^unknown colour 1; valid choices: red$") as error:
        list(ray_unordered(work, [1], -1))
    assert error.value.choices == ("red",)


def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    def work(k: int) -> None:
        if k:
            (tmp_path / str(k)).touch()
            time.sleep(60)

    with closing(ray_unordered(work, range(4), -1)) as ended:
        assert next(ended).task == 0
        while not (tmp_path / "1").exists():
            time.sleep(0.01)
    began = time.monotonic()
    assert len(list(ray_unordered(work, [0, 0], -1))) == 2
    assert time.monotonic() - began < 30  # and not the minute that the others would have taken
    assert not (tmp_path / "3").exists()


def test_machine_with_other_packages_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_versions", lambda: {**dict.fromkeys(cluster.DECIDE_THE_RESULT, "1"), "pin": "0.1"})
    with pytest.raises(RunFailed, match=r"has dvp-mpc .*, where this run began with 1; every machine"):
        list(ray_unordered(abs, [1], -1))


@pytest.mark.parametrize("missing", ["the function", "this package"])
def test_machine_that_lacks_the_code_is_one_line(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def work(*task):\n    return task\n")
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("only_here").work
    if missing == "this package":
        monkeypatch.setattr(cluster, "_call", ray.remote(max_retries=0)(work))
    with pytest.raises(RunFailed, match=r"could not load its work.*No module named 'only_here'") as error:
        list(ray_unordered(abs if missing == "this package" else work, [1], -1))
    assert "\n" not in str(error.value)


def test_labels_are_those_of_local_workers_bit_for_bit(task: ReachTask, value: Value, tmp_path: Path) -> None:
    sampling = Sampling(problems=50, horizon=10, nodes=(0, 5))
    found = [
        collect(task, value, sampling, learned=True, seed=(5,), folder=tmp_path / name, jobs=2, workers=workers)
        for name, workers in (("local", unordered), ("ray", ray_unordered))
    ]
    assert found[0][1:] == found[1][1:]
    for name, array in found[0].labels.arrays().items():
        np.testing.assert_array_equal(array, found[1].labels.arrays()[name], err_msg=name)
    for path in (tmp_path / "local").iterdir():
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()


def test_worker_killed_in_the_middle_loses_and_doubles_nothing(linear: LinearTask, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    class DyingHalfway(LinearTask):  # local, so that it is pickled by value
        def sample_goal(self, rng: np.random.Generator) -> Goal:
            with calls.open("ab") as file:
                file.write(b".")
                file.flush()
                if file.tell() == SAMPLING.problems // 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().sample_goal(rng)

    def gather(task: LinearTask, name: str, workers: Callable[..., object]) -> tuple[dict[str, np.ndarray], int]:
        found = collect(
            task,
            RiccatiValue(),
            SAMPLING,
            learned=False,
            seed=(5,),
            folder=tmp_path / name,
            jobs=2,
            workers=workers,  # type: ignore[arg-type]
        )
        return found.labels.arrays(), found.worker_deaths

    whole, _ = gather(linear, "whole", unordered)
    dying = DyingHalfway(linear.A, linear.B, linear.Q, linear.R, linear.dt)
    labels, deaths = gather(dying, "killed", ray_unordered)
    assert deaths == 1
    assert SAMPLING.problems < calls.stat().st_size <= SAMPLING.problems + CHUNK  # its chunk, and no other, once more
    for name, array in whole.items():
        np.testing.assert_array_equal(array, labels[name], err_msg=name)


def test_interrupted_training_on_a_cluster_goes_on(address: str, tmp_path: Path) -> None:
    small = ["--dvp.sampling.problems", "60", "--dvp.iterations", "1", "--dvp.validation", "1", "--dvp.fit.steps", "5"]
    command = [str(Path(sys.executable).with_name("dvp-mpc")), "train", "--preset", "panda_reach_tiny", *small]
    command += ["--backend", "ray", "--address", address, "--out", "run", "--json"]
    pipes = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    stopped = subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]
    labels = tmp_path / "run" / "iteration0" / "labels"
    until = time.monotonic() + 120
    while not list(labels.glob("*.npz")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(stopped.pid, signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert (stopped.returncode, "Traceback" in said) == (130, False), said
    assert "interrupted" in said
    assert not list(tmp_path.rglob("*.part"))
    stamps = {path: path.stat().st_mtime_ns for path in labels.glob("*.npz")}
    assert 0 < len(stamps) < 3
    done = subprocess.run(command, timeout=120, check=False, **pipes)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"][0]["labels"] > 0
    assert len(list(labels.glob("*.npz"))) == 3
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("127.0.0.1:1", "no Ray cluster at address '127.0.0.1:1'"),
        ("nowhere", 'must be "auto", "local", or HOST:PORT'),
        ("ray://127.0.0.1:10001", 'must be "auto", "local", or HOST:PORT'),
    ],
)
def test_address_where_nothing_answers(where: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--backend", "ray", "--address", where]) == 2
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
