"""Look at a log again: in the browser, as an HTML file that plays by itself, or in Foxglove and PlotJuggler.

python sim/replay_log.py runs/demo/log.npz
python sim/replay_log.py runs/demo/log.npz --html replay.html --mcap replay.mcap
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from dvp_mpc_sim.episode import run_script
from dvp_mpc_sim.loop import Log
from dvp_mpc_sim.mcap_log import write_mcap
from dvp_mpc_sim.viewer import BrowserView, replay

from dvp_mpc.models import DEFAULT_MODEL, load_model


@dataclass(frozen=True)
class Replay:
    """Without a file to write, the log is played in the browser."""

    log: tyro.conf.Positional[Path]
    """What `dvp-mpc simulate` wrote."""
    html: Path | None = None
    """Write a page that plays the log and needs nothing else."""
    mcap: Path | None = None
    """Write ROS 2 messages."""
    mcap_hz: float | None = None
    """Messages per second and topic; unset: as many as the log has rows."""
    model: str = DEFAULT_MODEL
    """Value file, or the name of a shipped one; its arm is the one that is drawn."""
    arm: str | None = None
    """The URDF that the model was made for; unset: the model's own arm."""


def main() -> None:
    """Play or convert."""
    settings = tyro.cli(Replay)
    log, arm = Log.load(settings.log), load_model(settings.model, settings.arm)[0].arm
    if settings.html is not None:
        replay(log, arm, settings.html)
        print(f"wrote {settings.html}")
    if settings.mcap is not None:
        write_mcap(log, arm, settings.mcap, rate_hz=settings.mcap_hz)
        print(f"wrote {settings.mcap}")
    if settings.html is None and settings.mcap is None:
        with BrowserView(arm, open_browser=True) as view:
            view.play(log)
            print(f"open {view.url}; the controls in its corner play, stop and slow down")
            try:
                input("Enter ends. ")
            except (EOFError, KeyboardInterrupt):
                print()


if __name__ == "__main__":
    run_script(main)
