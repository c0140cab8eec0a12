"""Run apart: what skops says of files, as it is or as Chopmark imports it; a line of JSON."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

how, *files = sys.argv[1:]
io: Any
if how == "ours":
    from chopmark.formats.skops_types import import_skops

    io = import_skops("A test")
else:
    io = importlib.import_module("skops.io")


def verdict(file: str) -> object:
    """What it does not trust in a file; the error where it refuses to look."""
    try:
        return io.get_untrusted_types(file=file)
    except Exception as error:  # noqa: BLE001 - whatever it says
        return f"{type(error).__name__}: {error}"


imported = sorted(name for name in sys.modules if name.startswith(("sklearn.", "torch")))
verdicts = {Path(file).name: verdict(file) for file in files}
import skops.io as users  # noqa: E402 - as somebody does afterwards
from sklearn.svm import SVC  # noqa: E402
from sklearn.utils import all_estimators  # noqa: E402
from skops.io import _trusted_types as types  # noqa: E402

json.dump(
    {
        "imported": imported,
        "verdicts": verdicts,
        "functions": [types.SCIPY_UFUNC_TYPE_NAMES, types.NUMPY_UFUNC_TYPE_NAMES],
        "loads": str(users.loads(users.dumps(SVC(C=0.5)))),
        "listed": len(all_estimators()),
    },
    sys.stdout,
)
