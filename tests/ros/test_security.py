"""Who on the network can reach the node: what is refused when anybody can, and when security would fail open."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")  # the extra 'ros'

from dvp_mpc_ros.session import Session

pytestmark = pytest.mark.realtime


def test_open_discovery_is_refused_where_that_is_asked_for(node: Session) -> None:
    node.restart_controller({"require_closed_discovery": True}, ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET")
    assert not node.configure()
    node.spin_until(lambda: "refused" in node.safety_state, 20.0)
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST" in node.safety_state


@pytest.mark.parametrize("strategy", ["Permissive", "enforce"])
def test_security_that_would_fail_open_is_refused(node: Session, strategy: str) -> None:
    """With security enabled but not enforced, a node without keys would start all the same, unprotected."""
    node.restart_controller({}, ROS_SECURITY_ENABLE="true", ROS_SECURITY_STRATEGY=strategy)
    assert not node.configure()
    node.spin_until(lambda: "refused" in node.safety_state, 20.0)
    assert "fail open" in node.safety_state


def test_security_that_is_off_to_ros_closes_nothing(node: Session) -> None:
    """rcl takes ROS_SECURITY_ENABLE letter by letter."""
    open_to_all = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_SECURITY_ENABLE": "TRUE",
        "ROS_SECURITY_STRATEGY": "Enforce",
    }
    node.restart_controller({"require_closed_discovery": True}, **open_to_all)
    assert not node.configure()
    node.spin_until(lambda: "refused" in node.safety_state, 20.0)
    assert "anybody on the network" in node.safety_state


@pytest.mark.parametrize("module", ["controller_node", "plant_node"])
def test_enforced_security_without_keys_ends_the_node(module: str, tmp_path: Path) -> None:
    security = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    environment = os.environ | security | {"ROS_SECURITY_KEYSTORE": str(tmp_path)}
    command = [sys.executable, "-m", f"dvp_mpc_ros.{module}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "SECURITY ERROR" in done.stderr
    assert "Traceback" not in done.stderr
