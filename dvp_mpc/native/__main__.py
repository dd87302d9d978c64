"""python -m dvp_mpc.native: compile terminal node and box QP, unless that is done. Exit code 1 says why it cannot be."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import cmeel
import numpy as np

from dvp_mpc.native import FLAGS, HERE, SOURCES, binary, load

PREFIX = Path(cmeel.__file__).parent.parent / "cmeel.prefix"  # of the wheels' headers and libraries
LIBRARIES = ("crocoddyl", "eigenpy", f"boost_python{sys.version_info.major}{sys.version_info.minor}")


def build() -> Path:
    """Compile and link. Raises RuntimeError with what is missing."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise RuntimeError("no C++ compiler (g++, or the one that CXX names)")
    include = [PREFIX / "include", PREFIX / "include/eigen3", sysconfig.get_paths()["include"], np.get_include()]
    for header, provider in (("Eigen/Core", "the extra 'native'"), ("Python.h", "the package python3-dev")):
        if not any((Path(folder) / header).is_file() for folder in include):
            raise RuntimeError(f"no {header}, which comes with {provider}")
    path = binary()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two may build at once; each ends with a whole file
    command = [compiler, *FLAGS, *(f"-isystem{folder}" for folder in include), str(HERE / SOURCES[0]), "-o", str(part)]
    command += [f"-L{PREFIX / 'lib'}", *(f"-l{name}" for name in LIBRARIES), f"-Wl,-rpath,{PREFIX / 'lib'}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{compiler} failed:\n{done.stderr.strip()[-2000:]}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def main() -> int:
    """Build, load, say what became of it."""
    try:
        path = binary() if binary().is_file() else build()
    except (RuntimeError, OSError) as error:
        print(f"dvp_mpc.native: not built, ticks will be slower: {error}", file=sys.stderr)
        return 1
    module, why = load()
    print(f"dvp_mpc.native: {path if module else why}", file=sys.stdout if module else sys.stderr)
    return 0 if module else 1


if __name__ == "__main__":
    sys.exit(main())
