"""What keeps numerical libraries to one thread in a process that is one of several."""

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
"""Environment variables, for processes that are yet to load the libraries."""
