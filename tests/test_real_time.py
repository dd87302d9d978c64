"""What becomes of a test in real time that fails: run again while the machine stands still, and only then."""

from pathlib import Path

import pytest

pytest_plugins = "pytester"

FREEZE = """
import os, signal, time
import pytest

pytestmark = pytest.mark.realtime

reasons = ["late 1", "late 2", "cold", "late 3"]

def stand_still():
    time.sleep(0.5)
    watches = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
    for number, pause in ((signal.SIGSTOP, 0.05), (signal.SIGCONT, 0.05)):
        for watch in watches:
            os.kill(int(watch), number)
        time.sleep(pause)

def test_while_the_machine_stands_still():
    stand_still()
    raise ValueError(reasons.pop(0))

def test_in_the_same_way_each_time():
    stand_still()
    raise ValueError(f"broken after {time.monotonic()} s")

def test_by_itself():
    raise ValueError("broken")
"""


def test_only_a_machine_that_stands_still_excuses_a_failure(pytester: pytest.Pytester) -> None:
    here = Path(__file__)
    pytester.makeconftest(here.with_name("conftest.py").read_text())
    pytester.makepyfile(FREEZE)
    pytester.makeini(f"[pytest]\n{_settings(here.parents[1] / 'pyproject.toml')}")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["skipped"]) == (2, 1)
    assert outcomes["rerun"] >= 6
    result.stdout.fnmatch_lines(
        [
            "FAILED*test_in_the_same_way_each_time",
            "FAILED*test_by_itself*",
            "SKIPPED*the machine stood still for * nothing is known of: late 3",
        ]
    )


def _settings(pyproject: Path) -> str:
    """The project's own words on what is run again."""
    text = pyproject.read_text()
    line = next(line for line in text.splitlines() if line.startswith("addopts"))
    return f"{line.replace(chr(34), '')}\nmarkers =\n    slow\n    realtime\n"
