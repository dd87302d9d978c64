"""The terminal node and the solver's box QP in C++, where they have been built: `python -m dvp_mpc.native` does it.

A call from Crocoddyl's C++ back into Python costs more than all of a value's arithmetic; the compiled node makes none. And
Crocoddyl's box QP now and then misses its minimum (box_solver.hpp); only C++ can give its solver another. Both are built
against the headers of the installed wheels, on the machine that uses them, because those promise no stable binary interface;
the file's name holds a fingerprint of all that went into it, so that one of another version is never loaded. Without them
everything works: V is the same, ticks are slower, and where several limits are met at once a step of the solver may fail.
"""

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
SOURCES = ("node.cpp", "kernels.hpp", "box_solver.hpp")
DECIDE_THE_BINARY = ("crocoddyl", "libcrocoddyl", "eigenpy", "cmeel-boost", "numpy")
# The last two are those that the wheel of crocoddyl was built with (crocoddylConfig.cmake).
FLAGS = ("-O3", "-DNDEBUG", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden") + (
    "-DCROCODDYL_WITH_MULTITHREADING",
    "-DCROCODDYL_WITH_NTHREADS=2",
)
COMMAND = "python -m dvp_mpc.native"
MODULE = "_dvp_native"  # what its init function is called


def binary() -> Path:
    """Where what is compiled of these sources and packages belongs."""
    text = b"".join((HERE / name).read_bytes() for name in SOURCES)
    facts = [f"{name} {importlib.metadata.version(name)}" for name in DECIDE_THE_BINARY]
    print_ = hashlib.sha256(text + "\n".join([*FLAGS, *facts, sys.version]).encode()).hexdigest()
    return HERE / f"{MODULE}.{print_[:16]}.so"


@cache
def load() -> tuple[ModuleType | None, str]:
    """The compiled module, or None and why there is none."""
    path = binary()
    if not path.is_file():
        return None, f"not built; {COMMAND} builds it"
    import crocoddyl  # noqa: F401  # brings the libraries that it is linked against

    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    try:
        module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(MODULE, loader, origin=str(path)))
        loader.exec_module(module)
    except ImportError as error:
        return None, f"{path.name} does not load: {error}"
    return module, ""
