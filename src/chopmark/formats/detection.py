"""Which format the files at a path are: by their first bytes, then by their suffix."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from chopmark.abc.formats import Format
from chopmark.errors import InvalidRequest
from chopmark.formats.pickled import COMPRESSED, decompressed
from chopmark.formats.registry import get_format

__all__ = ["detect", "format_for_path"]

RAW = "raw"
_START_BYTES = 2**20
_PROTOCOLS = (2, 3, 4, 5)
_SUFFIX_BYTES = 16


def format_for_path(paths: Path | Sequence[Path]) -> Format:
    """The format of a file that somebody registers by path.

    What the bytes say goes before the suffix, so that a pickle called ``model.skops`` or
    ``weights.bin`` is still marked as a format that runs code. A directory, several files, and what
    nobody knows are ``raw``.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    several = [paths] if isinstance(paths, Path) else list(paths)
    if len(several) != 1 or several[0].is_dir():
        return get_format(RAW)
    return get_format(detect(several[0]))


def detect(path: Path) -> str:
    """Name of the format of one file; ``raw`` when it is none we know."""
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
        file.seek(max(0, path.stat().st_size - 1))
        end = file.read(1)
    if start.startswith(b"PK\x03\x04"):
        return _archive_format(path)
    if _is_pickle(start, end):
        return _pickle_format(start, suffix)
    if start.startswith(COMPRESSED) and _is_compressed_pickle(path):
        return "joblib"
    for name, test in _BY_START.items():
        if test(start):
            return name
    return next((n for s, n, test in _BY_SUFFIX if suffix == s and test(start)), RAW)


def _archive_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return RAW
    if "schema.json" in names:
        return "skops"
    if any(n.endswith("/data.pkl") for n in names):
        # TorchScript archives hold programs beside their weights: torch.load cannot read them.
        return RAW if any(n.endswith("/constants.pkl") for n in names) else "torch"
    return "numpy" if names and all(n.endswith(".npy") for n in names) else RAW


def _is_pickle(start: bytes, end: bytes) -> bool:
    return len(start) > 2 and start[0] == 0x80 and start[1] in _PROTOCOLS and end == b"."  # noqa: PLR2004


# torch.save before 1.6 wrote a magic number as a pickle of its own, then more pickles.
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_PICKLE_WRITERS = (
    ("joblib", b"joblib.numpy_pickle"),
    ("cloudpickle", b"cloudpickle.cloudpickle"),
    ("dill", b"dill._dill"),
)
_PICKLE_SUFFIXES = {".joblib": "joblib", ".jl": "joblib", ".cloudpickle": "cloudpickle", ".dill": "dill"}


def _pickle_format(start: bytes, suffix: str) -> str:
    if start.startswith(_TORCH_LEGACY):
        return "torch"
    written = next((name for name, mark in _PICKLE_WRITERS if mark in start), "")
    return written or _PICKLE_SUFFIXES.get(suffix, "pickle")


def _is_compressed_pickle(path: Path) -> bool:
    """Only joblib compresses pickles by itself."""
    try:
        with path.open("rb") as file:
            start = decompressed(file).read(2)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, InvalidRequest):
        return False
    return len(start) == 2 and start[0] == 0x80 and start[1] in _PROTOCOLS  # noqa: PLR2004


def _is_safetensors(start: bytes) -> bool:
    length = int.from_bytes(start[:8], "little")
    return len(start) > 9 and start[8:9] == b"{" and 2 <= length <= 100 * 2**20  # noqa: PLR2004


def _is_text_of(first: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.lstrip().startswith(first)


def _is_xgboost_json(start: bytes) -> bool:
    return start.lstrip().startswith(b"{") and b'"learner"' in start and b'"gradient_booster"' in start


def _always(start: bytes) -> bool:
    return bool(start)


_BY_START: dict[str, Callable[[bytes], bool]] = {
    "numpy": lambda start: start.startswith(b"\x93NUMPY"),
    "catboost": lambda start: start.startswith(b"CBM1"),
    "safetensors": _is_safetensors,
    "lightgbm": lambda start: start.startswith(b"tree\nversion="),
    "xgboost": _is_xgboost_json,
}

# Some pickles have no magic number (protocols 0 and 1), and nor have ONNX and UBJSON.
_BY_SUFFIX: tuple[tuple[str, str, Callable[[bytes], bool]], ...] = (
    (".json", "json", lambda start: start.lstrip()[:1] in (b"{", b"[")),
    (".onnx", "onnx", _always),
    (".ubj", "xgboost", lambda start: start.startswith(b"{")),
    (".pkl", "pickle", _always),
    (".pickle", "pickle", _always),
    (".joblib", "joblib", _always),
    (".jl", "joblib", _always),
    (".cloudpickle", "cloudpickle", _always),
    (".dill", "dill", _always),
)
