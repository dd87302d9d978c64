"""Files that appear whole or not at all, whenever a run is stopped."""

import csv
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvp_mpc.errors import UsageError

# What reading a damaged .npz can raise: cut off, empty, foreign bytes, or fields that are not those expected.
DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, zlib.error)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends without an error."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes that make one file must not share it
    try:
        yield part
        part.chmod(0o644)  # safetensors writes for the owner alone
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def writable_folder(folder: Path) -> Path:
    """The folder, made when missing. Raises UsageError when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise UsageError(f"output folder {folder} is not writable: {error.strerror}") from error
    return folder


def write_table(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV file."""
    with whole_file(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
