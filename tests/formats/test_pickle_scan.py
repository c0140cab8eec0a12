import collections
import contextlib
import io
import pickle
import pickletools

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.formats.pickle_scan import _HANDLERS, scan_pickle


def names(data: bytes) -> tuple[str, ...]:
    return scan_pickle(io.BytesIO(data)).names


def imported_names(data: bytes) -> set[str]:
    """What unpickling really imports, from Python's own machine."""
    found = set()

    class Watching(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(f"{module}.{name}")
            return super().find_class(module, name)

    Watching(io.BytesIO(data)).load()
    return found


class Plain:
    def __init__(self, value) -> None:
        self.value = value


def test_every_opcode_has_a_handler() -> None:
    assert {op.name for op in pickletools.opcodes} - {"STOP"} == set(_HANDLERS)


@pytest.mark.parametrize("protocol", range(6))
def test_the_scan_finds_what_python_imports(protocol: int) -> None:
    value = [
        Plain({"a": (1, 2.5, b"x", None, True)}),
        collections.OrderedDict(a=1),
        np.arange(3),
        np.array([Plain(1), None], dtype=object),
        {1, 2},
        frozenset("ab"),
        pickle.loads,
        2**100,
        "ü",
        bytearray(b"x"),
    ]
    data = pickle.dumps(value, protocol=protocol)
    # Protocols 0 to 2 name the modules of Python 2, which the unpickler translates.
    scanned = {n.replace("__builtin__", "builtins").replace("copy_reg", "copyreg") for n in names(data)}
    wanted = {n.replace("__builtin__", "builtins").replace("copy_reg", "copyreg") for n in imported_names(data)}
    assert scanned == wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(JSON, st.integers(0, 5))
def test_plain_values_import_nothing_but_pythons_own(value, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    assert {n for n in names(data) if not n.startswith(("_codecs", "__builtin__", "builtins"))} == set()


@given(st.binary(max_size=300))
def test_any_bytes_are_scanned_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        scan_pickle(io.BytesIO(data))


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_joblib_file_is_scanned_or_refused(at: int, byte: int) -> None:
    data = bytearray(JOBLIB)
    data[at % len(data)] = byte
    with contextlib.suppress(InvalidRequest):
        scan_pickle(io.BytesIO(bytes(data)))


def joblib_bytes(value) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


JOBLIB = joblib_bytes({"a": np.arange(50.0), "b": np.array([Plain(1)], dtype=object)})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1000.0),
        np.asfortranarray(np.eye(20)),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array(["2024-01-01"], dtype="M8[ns]"),
        np.zeros(3, dtype=[("x", "f4"), ("y", "i8", (2,))]),
        np.zeros(2, dtype=[("x", "f4"), ("o", "O")]),
        np.array([Plain(1), "x"], dtype=object),
        np.array(3.5),
        np.zeros((0, 4)),
        np.zeros(5, dtype=">i4"),
        np.zeros(2, dtype=complex),
    ],
    ids=lambda array: f"{array.dtype.kind}{array.shape}",
)
def test_arrays_in_joblib_files_are_passed_over(array) -> None:
    data = joblib_bytes([array, Plain(2), array])
    file = io.BytesIO(data)
    scan = scan_pickle(file)
    assert file.tell() == len(data)
    assert any(n.endswith("test_pickle_scan.Plain") for n in scan.names)


def test_a_name_that_is_put_together_is_still_listed() -> None:
    # module and name come from the memo, in a roundabout way
    data = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x930."
    assert "os.system" in names(data + b".")


def test_the_root_is_told() -> None:
    assert scan_pickle(io.BytesIO(pickle.dumps(Plain(1)))).root.endswith("test_pickle_scan.Plain")
    assert scan_pickle(io.BytesIO(pickle.dumps([1]))).root == ""


def test_a_long_scan_stops_and_says_so() -> None:
    data = pickle.dumps([float(i) for i in range(1000)])
    assert not scan_pickle(io.BytesIO(data), opcodes_max=100).complete
