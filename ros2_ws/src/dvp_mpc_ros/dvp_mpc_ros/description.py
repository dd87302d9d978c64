"""The arm's URDF as a viewer wants it: locked joints welded, meshes by absolute path."""

import xml.etree.ElementTree as ET

from dvp_mpc_sim.body import NOMINAL, plant_description

from dvp_mpc.models import load_model
from dvp_mpc.problem.arm import load_arm


def robot_description(model: str, arm: str = "") -> str:
    """URDF text of a model's arm, or of `arm` where there is no model."""
    found = load_model(model, arm or None)[0].arm if model else load_arm(arm)
    root = plant_description(found, NOMINAL, visual=True)
    for mesh in root.iter("mesh"):
        mesh.set("filename", f"file://{mesh.get('filename')}")
    return ET.tostring(root, encoding="unicode")
