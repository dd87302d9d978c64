"""Build file of an ament_python package: what goes where in the install space."""

from glob import glob

from setuptools import find_packages, setup

NAME = "dvp_mpc_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.yaml")),
        (f"share/{NAME}/rviz", glob("rviz/*.rviz")),
    ],
    # The Python package dvp-mpc is not named here: a pip-installed one has to be found, not fetched.
    install_requires=["setuptools"],
    zip_safe=True,
    description="Lifecycle controller node and simulated plant for torque-controlled 7-dof arms.",
    license="BSD-2-Clause",
    entry_points={
        "console_scripts": [
            "controller_node = dvp_mpc_ros.controller_node:main",
            "plant_node = dvp_mpc_ros.plant_node:main",
        ]
    },
)
