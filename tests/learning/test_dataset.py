"""collect: the same labels however the work was cut, stopped or killed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvp_mpc.errors import RunFailed
from dvp_mpc.learning import dataset
from dvp_mpc.learning.dataset import Collected, collect, ground_truth_sampling
from dvp_mpc.learning.labels import Labels
from dvp_mpc.learning.settings import Sampling, Starts
from dvp_mpc.problem.reach import ReachTask
from dvp_mpc.problem.systems import LinearTask
from dvp_mpc.problem.task import Goal, Task
from dvp_mpc.value import RiccatiValue, ValueFunction

SAMPLING = Sampling(problems=50, horizon=10, nodes=(0, 2, 5), per_goal=1)  # two chunks of 20 and one of 10
Collect = Callable[..., Collected]


@pytest.fixture
def gather(tmp_path: Path) -> Collect:
    def gather(
        task: Task, sampling: Sampling = SAMPLING, value: ValueFunction | None = None, **options: object
    ) -> Collected:
        options = {"learned": False, "seed": (5,), "folder": tmp_path / "labels", "jobs": 1} | options
        return collect(task, value or RiccatiValue(), sampling, **options)  # type: ignore[arg-type]

    return gather


def same(a: Labels, b: Labels) -> bool:
    return all(np.array_equal(*pair) for pair in zip(a.arrays().values(), b.arrays().values(), strict=True))


def test_labels_and_their_count(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    found = gather(linear, progress=lambda *counts: seen.append(counts))
    assert found[1:] == (50, 0, 0)
    assert len(found.labels) == 50 * 3
    assert len(found.labels.goal_x) == 50
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == [f"chunk{k:04d}.npz" for k in range(3)]
    assert seen == [(0, 50, 0), (20, 50, 0), (40, 50, 0), (50, 50, 0)]


def test_seed_decides(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    first = gather(linear)
    again = gather(linear, folder=tmp_path / "again")
    other = gather(linear, folder=tmp_path / "other", seed=(6,))
    assert same(first.labels, again.labels)
    assert not np.isin(other.labels.x, first.labels.x).any()
    assert len(np.unique(first.labels.x[::3], axis=0)) == 50  # no chunk repeats another


def test_number_of_jobs_does_not_matter(task: ReachTask, gather: Collect, tmp_path: Path) -> None:
    sampling = Sampling(problems=25, horizon=10, nodes=(0, 5))
    one = gather(task, sampling)
    two = gather(task, sampling, folder=tmp_path / "two", jobs=2)
    assert one[1:] == two[1:]
    for name, array in one.labels.arrays().items():
        # A worker has one BLAS thread, this process may have more, and they round differently: one float32 digit.
        assert array == pytest.approx(two.labels.arrays()[name], rel=1e-6, abs=1e-6), name


def test_resuming_solves_what_is_missing(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    whole = gather(linear)
    paths = sorted((tmp_path / "labels").iterdir())
    paths[1].unlink()
    before = [paths[k].stat().st_mtime_ns for k in (0, 2)]
    seen: list[tuple[int, int, int]] = []
    again = gather(linear, progress=lambda *counts: seen.append(counts))
    assert same(whole.labels, again.labels)
    assert [paths[k].stat().st_mtime_ns for k in (0, 2)] == before
    assert seen == [(30, 50, 0), (50, 50, 0)]


def test_interruption_costs_no_finished_chunk(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    whole = gather(linear)

    def stop(done: int, total: int, rejected: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(linear, folder=tmp_path / "stopped", progress=stop)
    assert len(list((tmp_path / "stopped").iterdir())) == 2
    assert same(whole.labels, gather(linear, folder=tmp_path / "stopped").labels)


def test_half_written_chunks_are_ignored(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    whole = gather(linear)
    folder = tmp_path / "leftovers"
    folder.mkdir()
    for k in range(3):
        (folder / f"chunk{k:04d}.npz.99999.part").write_bytes(b"PK\x03\x04 half an archive")
    assert same(whole.labels, gather(linear, folder=folder).labels)
    assert len(list(folder.glob("*.npz"))) == 3


def dying(linear: LinearTask, marker: Path, deaths: int) -> LinearTask:
    """A linear task that takes its process with it the first `deaths` times; local, so that it pickles by value."""

    class Dying(LinearTask):
        def sample_goal(self, rng: np.random.Generator) -> Goal:
            for k in range(deaths):
                try:
                    (marker / f"death{k}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os._exit(9)  # no exception, no clean-up: what the kernel does to a process out of memory
            return super().sample_goal(rng)

    return Dying(linear.A, linear.B, linear.Q, linear.R, linear.dt)


def test_killed_worker_loses_nothing(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    whole = gather(linear)
    found = gather(dying(linear, tmp_path, 1), folder=tmp_path / "killed", jobs=2)
    assert (tmp_path / "death0").exists()
    assert same(whole.labels, found.labels)
    assert found.worker_deaths == 1
    assert found.rejected == 0


def test_killed_worker_costs_one_chunk(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    calls, half = tmp_path / "calls", SAMPLING.problems // 2

    class DyingHalfway(LinearTask):
        def sample_goal(self, rng: np.random.Generator) -> Goal:
            with calls.open("ab") as file:
                file.write(b".")
                file.flush()
                if file.tell() == half:  # by then both workers are in the middle of a chunk
                    os._exit(9)
            return super().sample_goal(rng)

    task = DyingHalfway(linear.A, linear.B, linear.Q, linear.R, linear.dt)
    found = gather(task, folder=tmp_path / "killed", jobs=2)
    assert found.worker_deaths == 1
    assert SAMPLING.problems < calls.stat().st_size <= SAMPLING.problems + dataset.CHUNK


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive", b"\x80\x04N."])
def test_unreadable_chunk_is_solved_again(linear: LinearTask, gather: Collect, tmp_path: Path, content: bytes) -> None:
    whole = gather(linear)
    (tmp_path / "labels" / "chunk0001.npz").write_bytes(content)
    assert same(whole.labels, gather(linear).labels)


def test_chunk_that_keeps_killing_its_worker_ends_the_run(linear: LinearTask, gather: Collect, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="died 3 times"):
        gather(dying(linear, tmp_path, 99), jobs=2)


def test_machine_that_takes_many_workers_with_it_does_not_end_the_run(
    linear: LinearTask, gather: Collect, tmp_path: Path
) -> None:
    found = gather(dying(linear, tmp_path, 4), jobs=2)  # all three chunks, and one once more
    assert found.worker_deaths == 4
    assert len(found.labels) == 50 * 3


def test_unconverged_problems_are_left_out_and_counted(
    task: ReachTask, gather: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "CHUNK", 1)  # so that some chunks are empty
    seen: list[int] = []
    found = gather(
        task,
        Sampling(problems=20, horizon=10, nodes=(0, 5), iterations=4),
        progress=lambda done, total, rejected: seen.append(rejected),
    )
    assert 0 < found.rejected < 20
    assert len(found.labels) == 2 * (20 - found.rejected)
    assert seen[-1] == found.rejected


def test_resumed_run_still_counts_what_was_rejected(
    task: ReachTask, gather: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "CHUNK", 1)
    sampling = Sampling(problems=20, horizon=10, nodes=(0, 5), iterations=4)
    first, again = gather(task, sampling), gather(task, sampling)
    assert first.rejected == again.rejected > 0


def test_nothing_converged(task: ReachTask, gather: Collect) -> None:
    with pytest.raises(RunFailed, match="none of 3 problems converged within 1 iterations"):
        gather(task, Sampling(problems=3, horizon=10, iterations=1, nodes=(0,)))


def test_learned_value_leads_to_other_starts(task: ReachTask, gather: Collect, tmp_path: Path) -> None:
    sampling = Sampling(problems=6, horizon=10, nodes=(0,), starts=Starts(loop=1.0))
    plain = gather(task, sampling)
    led = gather(task, sampling, folder=tmp_path / "led", learned=True)
    assert len(led.labels) == 6
    assert not np.isin(led.labels.x, plain.labels.x).any()


def test_ground_truth_is_from_the_trusted_box_and_long_enough(task: ReachTask, gather: Collect, tmp_path: Path) -> None:
    sampling = ground_truth_sampling(2)
    found = gather(task, sampling).labels
    lower, upper = task.start_box
    assert ((found.x >= np.float32(lower)) & (found.x <= np.float32(upper))).all()
    truth = gather(task, replace(sampling, horizon=600), folder=tmp_path / "longer").labels
    assert np.array_equal(found.x, truth.x)
    # What is left after 3 s is a hundredth of the way, whose Riccati value is off by about as much: 1e-2 of 1e-4 of V.
    assert pytest.approx(truth.V, rel=1e-4) == found.V
    assert np.linalg.norm(found.Vx - truth.Vx, axis=1) == pytest.approx(0, abs=1e-4 * float(np.abs(truth.Vx).max()))


def test_followed_guesses_change_the_way_to_a_label_and_not_the_label(
    task: ReachTask, gather: Collect, tmp_path: Path
) -> None:
    sampling = Sampling(problems=20, horizon=20, nodes=(0, 5), starts=Starts(loop=0))
    still = gather(task, sampling, learned=True)
    led = gather(task, replace(sampling, follow=2), learned=True, folder=tmp_path / "led")
    assert led.rejected == still.rejected == 0
    assert not same(led.labels, still.labels)  # or nothing was followed
    first = slice(None, None, 2)  # later states lie on trajectories that agree to the solver's tolerance only
    assert np.array_equal(led.labels.x[first], still.labels.x[first])
    for name, tolerance in (("V", 1e-5), ("Vx", 1e-3), ("Vxx", 1e-2)):
        a, b = led.labels.arrays()[name], still.labels.arrays()[name]
        assert np.abs(a - b)[first].max() <= tolerance * np.abs(b[first]).max()


def test_problems_share_goals_when_told_to(task: ReachTask, gather: Collect) -> None:
    found = gather(task, Sampling(problems=20, horizon=5, nodes=(0,), per_goal=4))
    assert len(np.unique(found.labels.goal_tool, axis=0)) == 5
    assert len(np.unique(found.labels.x, axis=0)) == 20
