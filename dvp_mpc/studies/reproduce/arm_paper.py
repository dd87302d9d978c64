"""The arm's value made the paper's way, for figures 9 to 11: trained once for each seed, by the first figure that asks.

As far as the paper states: zero first terminal cost, labels at the starts only, the newest data only, three residuals over
three layers of 64, no Riccati core, no limit residuals and no anchor, Sobolev loss. The task, its box and what judges it are
those of the shipped value.

The paper trains one net for each goal. These figures draw a goal for every start, 38 a seed, and a net for each would take
hours, so one net is told its goal, as ours is. That is no handicap here: a net for a single goal, with 300 problems in each of
three iterations, lost 5 to 169 % at N = 10 from eight starts and ended 73 to 275 mm away; one for all goals, with 400 in each
of two, lost 2 to 58 % and ended 18 to 167 mm away. Figure 9 has a net for one goal on the authors' own arm.

More data and training help, as far as minutes go: with 300 problems and 1500 steps an iteration instead of 400 and 4000 the
median loss at N = 10 was 26 %, over five seeds; the authors' arm with 150 and 1500 was 25 to 79 mm off at T = 200.
"""

from dataclasses import asdict, replace
from pathlib import Path

from dvp_mpc.learning.settings import DvpSettings
from dvp_mpc.models import DEFAULT_MODEL, golden_of, load_model
from dvp_mpc.presets import PANDA_PAPER
from dvp_mpc.studies.reproduce.figure import Work
from dvp_mpc.studies.reproduce.runs import Quiet, shortened
from dvp_mpc.value_file import save_value

FULL = PANDA_PAPER
QUICK = shortened(FULL, problems=20, horizon=30)


def paper_model(settings: DvpSettings, work: Work) -> Path:
    """File of the value of the last iteration, for load_model."""
    from dvp_mpc.learning.dvp import run

    task, settings = load_model(DEFAULT_MODEL)[0], replace(settings, seed=work.seed)
    folder = work.part("arm-paper", (task.digest, settings))
    path = folder.with_suffix(".safetensors")
    with work.alone("arm"):
        if not path.exists():
            found = run(task, settings, folder, Quiet())
            facts = {
                "accuracy": found.rows[-1]._asdict(),
                "training": {"settings": asdict(settings), "iterations": len(found.rows)},
                "versions": {},
                "date": "",
                "command": "dvp-mpc reproduce",
            }
            save_value(path, found.values[-1], task, golden_of(task), facts)
    return path
