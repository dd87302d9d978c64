"""Parameters of the plant node: what is wrong is named, before anything is started."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pybullet")

from dvp_mpc_ros.plant_parameters import PlantParameters, load_disturbances

from dvp_mpc.errors import UsageError


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arm": "pandda"}, "unknown arm 'pandda'.*panda, xarm7"),
        ({"arm": "pandda", "model": ""}, "unknown arm 'pandda'.*panda, xarm7"),
        ({"arm": "xarm7"}, "panda"),
        ({"model": "", "arm": "panda", "tool_frame": "hook"}, "tool frame of 'panda' 'hook'.*panda_hand"),
        ({"tool_frame": "panda_hand"}, "tool_frame = 'panda_hand': the model says"),
        ({"q0": [0.0, 1.0]}, "q0 = .*7 finite numbers"),
        ({"v0": [np.nan] + 6 * [0.0]}, "v0 = .*7 finite numbers"),
        ({"disturbance": "shake:5"}, "disturbance.*impulse:NS@T"),
        ({"disturbance_file": "nowhere.yaml"}, "disturbance_file = 'nowhere.yaml': no such file"),
        ({"realtime": "sometimes"}, "realtime.*enforce, try, off"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(fields: dict[str, Any], words: str) -> None:
    parameters = PlantParameters(**fields)
    with pytest.raises(UsageError, match=words):
        (parameters.check_realtime(), parameters.start(parameters.load_arm()), parameters.disturbances())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "must be a mapping"),
        ("{seed: 1, pushes: []}", "unknown field of disturbance_file 'pushes'; valid choices: seed, disturbances"),
        ("{seed: -1}", "seed"),
        ("{disturbances: push}", "list of texts"),
        ("{disturbances: [5]}", "list of texts"),
        ("{disturbances: ['push:20']}", "write push:N@T0-T1"),
        ("{disturbances: [", "not YAML"),
        ("seed: 2001-99-99", "not YAML"),
        ("[" * 5000, "not YAML"),
        ("#" * 300_000, "larger than"),
    ],
)
def test_a_wrong_disturbance_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pushes.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as raised:
        load_disturbances(path)
    assert "pushes.yaml" in str(raised.value)
