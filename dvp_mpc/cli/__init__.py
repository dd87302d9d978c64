"""The `dvp-mpc` command: settings dataclasses are its flags."""

import os

# Before NumPy is loaded. Our matrices are 14 by 14 or small batches: BLAS threads gain nothing and stall a tick by milliseconds
# when another process runs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from dvp_mpc.cli.main import main

__all__ = ["main"]
