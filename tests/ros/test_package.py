"""The ROS package as a package: its description, its build, its launch files and its configuration."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import rclpy
import yaml
from dvp_mpc_ros.declared import declare, read
from dvp_mpc_ros.parameters import Parameters
from rclpy.signals import SignalHandlerOptions

from dvp_mpc.models import load_model

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "dvp_mpc_ros"
LAUNCH = sorted((PACKAGE / "launch").glob("*.launch.py"))
CONFIGS = sorted((PACKAGE / "config").glob("*.yaml"))


def imported(folder: Path) -> set[str]:
    """Packages that the Python files of a folder import."""
    found = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def console_scripts() -> dict[str, str]:
    """name: module of every console script in setup.py."""
    texts = [
        node.value for node in ast.walk(ast.parse((PACKAGE / "setup.py").read_text())) if isinstance(node, ast.Constant)
    ]
    pairs = [text.split(" = ") for text in texts if isinstance(text, str) and ":main" in text]
    return {name: target.split(":")[0] for name, target in pairs}


def test_package_xml_names_what_the_code_needs() -> None:
    root = ET.parse(PACKAGE / "package.xml").getroot()
    assert root.get("format") == "3"
    assert root.findtext("name") == "dvp_mpc_ros"
    assert root.findtext("export/build_type") == "ament_python"
    assert root.findtext("license") == "BSD-2-Clause"
    depends = {entry.text for tag in ("depend", "exec_depend") for entry in root.findall(tag)}
    ros = {name for name in imported(PACKAGE) if name.endswith(("_msgs", "_interfaces", "_srvs")) or name == "rclpy"}
    assert ros | {"launch", "launch_ros"} <= depends
    assert {"rclpy", "sensor_msgs", "std_msgs", "lifecycle_msgs", "rosgraph_msgs"} <= depends


def test_package_xml_passes_the_reader_of_ros() -> None:
    package = pytest.importorskip("catkin_pkg.package").parse_package(str(PACKAGE / "package.xml"))
    package.validate()


def test_it_holds_the_version_of_dvp_mpc() -> None:
    import dvp_mpc

    assert ET.parse(PACKAGE / "package.xml").getroot().findtext("version") == dvp_mpc.__version__
    assert f'version="{dvp_mpc.__version__}"' in (PACKAGE / "setup.py").read_text()


def test_colcon_builds_it_and_its_scripts_run(tmp_path: Path) -> None:
    colcon = Path(sys.executable).with_name("colcon")
    if not colcon.exists():
        pytest.skip("colcon is not installed")
    workspace = tmp_path / "ws" / "src"
    shutil.copytree(PACKAGE, workspace / "dvp_mpc_ros", ignore=shutil.ignore_patterns("__pycache__"))
    environment = dict(os.environ, PATH=f"{colcon.parent}{os.pathsep}{os.environ['PATH']}")
    install = tmp_path / "install"
    built = subprocess.run(
        [
            *(colcon, "--log-base", tmp_path / "log", "build", "--base-paths", workspace),
            *("--build-base", tmp_path / "build", "--install-base", install),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    share = install / "dvp_mpc_ros" / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "dvp_mpc_ros").is_file()
    for kind in ("launch", "config", "rviz"):
        there = {path.name for path in (share / "dvp_mpc_ros" / kind).iterdir()}
        assert there == {path.name for path in (PACKAGE / kind).iterdir() if path.is_file()}
    for name in console_scripts():
        script = (install / "dvp_mpc_ros" / "lib" / "dvp_mpc_ros" / name).read_text()
        assert script.startswith("#!/usr/bin/env python3\n"), "not colcon's own, which sees no virtual environment"
    # Through the environment that colcon made, so that it is this copy that is imported.
    command = f'. "{install}/setup.sh" && exec "$0" "$@"'
    modules = ", ".join(console_scripts().values())
    where = subprocess.run(
        ["sh", "-c", command, sys.executable, "-c", f"import {modules}; print(dvp_mpc_ros.__file__)"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert where.stdout.splitlines()[-1].startswith(str(install)), where.stderr
    plant = install / "dvp_mpc_ros" / "lib" / "dvp_mpc_ros" / "plant_node"
    refused = subprocess.run(
        ["sh", "-c", command, plant, "--ros-args", "-p", "model:=nothing"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2, "the script hands on what main returns"
    assert refused.stderr.startswith("plant_node: nothing")


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.name)
def test_launch_files_are_sound(path: Path) -> None:
    """What can be known without `launch`, which is on no package registry."""
    tree = ast.parse(path.read_text())
    assert "generate_launch_description" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    compile(tree, str(path), "exec")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    declared = set(_first_texts(calls, "DeclareLaunchArgument"))
    loops = [node.iter for node in ast.walk(tree) if isinstance(node, ast.comprehension)]
    texts = {entry.value for each in loops for entry in ast.walk(each) if isinstance(entry, ast.Constant)}
    used = set(_first_texts(calls, "LaunchConfiguration")) | (texts & declared)
    assert declared == used
    words = {word.arg: word.value.value for c in calls for word in c.keywords if isinstance(word.value, ast.Constant)}
    ours = [c for c in calls if _keyword(c, "package") == "dvp_mpc_ros"]
    assert {_keyword(c, "executable") for c in ours} <= set(console_scripts())
    assert words.get("name", "plant") in ("plant", "mpc_controller")
    for kind in ("config", "launch", "rviz"):
        for name in _after(tree, kind):
            assert (PACKAGE / kind / name).is_file()


def test_the_simulation_hands_the_controller_only_arguments_that_it_has() -> None:
    tree = ast.parse((PACKAGE / "launch" / "panda_sim.launch.py").read_text())
    handed = next(
        {key.value for key in node.value.func.value.keys}
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "launch_arguments"
    )
    controller = ast.parse((PACKAGE / "launch" / "controller.launch.py").read_text())
    has = _first_texts([node for node in ast.walk(controller) if isinstance(node, ast.Call)], "DeclareLaunchArgument")
    assert handed <= set(has)


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.name)
def test_launch_files_make_a_description(path: Path) -> None:
    launch = pytest.importorskip("launch")
    pytest.importorskip("launch_ros")
    spec = importlib.util.spec_from_file_location("described", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    assert isinstance(description, launch.LaunchDescription)
    assert "autostart" in [argument.name for argument in description.get_launch_arguments()]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
@pytest.mark.parametrize("namespace", ["", "/left"])
def test_a_configuration_is_what_the_node_declares(path: Path, namespace: str) -> None:
    """Through rclpy's own reader of parameter files and the node's own declarations."""
    given = yaml.safe_load(path.read_text())["/**/mpc_controller"]["ros__parameters"]
    fields = set(Parameters.__dataclass_fields__)
    assert set(given) <= fields
    left_out = {
        line.strip("# ").split(":")[0] for line in path.read_text().splitlines() if line.strip().startswith("# ")
    }
    assert fields <= set(given) | left_out, "every parameter stands there, if only as a comment"
    assert all("#" in line for line in path.read_text().splitlines() if line.startswith("    ")), "each with a comment"
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    arguments = ["--ros-args", "--params-file", str(path)]
    node = rclpy.create_node("mpc_controller", namespace=namespace, context=context, cli_args=arguments)
    try:
        declare(node, Parameters, read_only=False)
        parameters = read(node, Parameters)
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    for name, value in given.items():
        assert getattr(parameters, name) == value
    assert parameters.controller.rate_hz == 200


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_configuration_names_a_shipped_value_of_its_arm(path: Path) -> None:
    given = yaml.safe_load(path.read_text())["/**/mpc_controller"]["ros__parameters"]
    assert load_model(given["model"])[0].arm.name == path.stem


def test_the_simulated_configuration_is_that_of_the_shipped_value() -> None:
    panda = yaml.safe_load((PACKAGE / "config" / "panda.yaml").read_text())["/**/mpc_controller"]["ros__parameters"]
    assert (panda["model"], panda["arm"]) == ("panda_reach", "")
    assert panda["gravity_in_command"] is True
    assert panda["dry_run"] is False


def test_rviz_layout_looks_at_topics_and_frames_that_there_are() -> None:
    from dvp_mpc.problem.arm import load_arm

    layout = yaml.safe_load((PACKAGE / "rviz" / "panda.rviz").read_text())["Visualization Manager"]
    assert layout["Global Options"]["Fixed Frame"] == load_arm("panda").model.frames[1].name
    topics = {display["Topic"]["Value"] for display in layout["Displays"] if "Topic" in display}
    assert topics == {"/mpc_controller/predicted_path"}


@pytest.mark.parametrize(("model", "arm"), [("panda_reach", ""), ("", "iiwa")])
def test_the_viewers_description_is_the_arm(model: str, arm: str, tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    from dvp_mpc_ros.description import robot_description

    root = ET.fromstring(robot_description(model, arm))
    meshes = [str(mesh.get("filename")) for mesh in root.iter("mesh")]
    assert len(meshes) >= 7
    assert all(name.startswith("file:///") and Path(name.removeprefix("file://")).is_file() for name in meshes)
    moving = [joint.get("name") for joint in root.findall("joint") if joint.get("type") != "fixed"]
    assert len(moving) == 7, "joint_states names them all"


def _first_texts(calls: list[ast.Call], function: str) -> list[str]:
    named = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == function and c.args]
    return [c.args[0].value for c in named if isinstance(c.args[0], ast.Constant)]


def _keyword(call: ast.Call, name: str) -> object:
    found = [word.value for word in call.keywords if word.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def _after(tree: ast.Module, kind: str) -> list[str]:
    """Names that follow `kind` in a list, as in [share, "config", "panda.yaml"]."""
    lists = [
        [e.value for e in n.elts if isinstance(e, ast.Constant)] for n in ast.walk(tree) if isinstance(n, ast.List)
    ]
    return [str(texts[1]) for texts in lists if len(texts) == 2 and texts[0] == kind]
