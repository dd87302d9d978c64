"""Imports run one way, and the controller loads nothing that it does not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dvp_mpc

PACKAGE = Path(dvp_mpc.__file__).parent
BOTTOM = {
    "arguments",
    "errors",
    "files",
    "value",
    "value_file",
    "disturbance",
    "messages",
    "plan_file",
    "fault_plan",
    "faults",
    "threads",
    "workers",
    "cluster",
}
MAY_IMPORT = {
    "native": set(),
    "problem": BOTTOM | {"native"},
    "learning": BOTTOM | {"problem"},
    "control": BOTTOM | {"problem"},
    "models": BOTTOM | {"problem"},
    "studies": BOTTOM | {"problem", "learning", "control", "presets", "bars", "models", "native"},
    "presets": BOTTOM | {"problem", "learning"},
    "bars": BOTTOM | {"problem", "presets"},
    "cli": BOTTOM | {"problem", "learning", "control", "studies", "presets", "bars", "models", "native"},
    **dict.fromkeys(BOTTOM, BOTTOM),
}


def imports_of(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_one_way(file: Path) -> None:
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert imports_of(file) == {"os"}  # the package itself loads nothing; it only sets an environment variable
        return
    inner = {name.split(".")[1] for name in imports_of(file) if name.startswith("dvp_mpc.")}
    assert inner - {room} <= MAY_IMPORT[room]
    outer = {name.split(".")[0] for name in imports_of(file)}
    assert ("torch" in outer) == (file.name == "training.py")
    assert ("ray" in outer) == (file.name == "cluster.py")
    if room != "cli" and file.name != "fig11.py":  # the one study in the simulator, which is loaded when it is computed
        assert not outer & {"dvp_mpc_sim", "pybullet", "rclpy"}


def test_controller_loads_no_heavy_package() -> None:
    code = (
        "import sys, dvp_mpc.control.controller\n"
        "print([m for m in ('torch', 'pybullet', 'rclpy', 'matplotlib', 'ray') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_files_stay_small() -> None:
    long = {
        str(f.relative_to(PACKAGE)): n for f in PACKAGE.rglob("*.py") if (n := len(f.read_text().splitlines())) > 300
    }
    assert not long
