"""The contract of a format as tests, for the built-in ones and for those of other packages.

A plug-in's tests describe it by one or more `FormatCase` and inherit everything else::

    class TestMyFormat(FormatSuite):
        @pytest.fixture
        def case(self) -> FormatCase:
            return FormatCase(format=FORMAT, make=train, same=predicts_alike)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chopmark.abc.formats import ANY_CODE, Format, SavedModel
from chopmark.domain.manifest import ROLES, check_path
from chopmark.errors import Denied, IntegrityFailure, InvalidRequest, Unsupported
from chopmark.testing.files import DirectoryFiles

__all__ = ["FOREIGN_BYTES", "FormatCase", "FormatSuite"]

FOREIGN_BYTES = (
    b"",
    b"\x00" * 4096,
    b"not a model\n",
    b"PK\x03\x04 and then nothing of an archive",
    b"\x80\x05 and then nothing of a pickle",
    b"{" * 100_000,
    b"\xff" * 1000,
)

_Canary = Callable[[Path, Path], DirectoryFiles]


class Stranger:
    """An object of a class that no safe format knows."""


@dataclass(frozen=True)
class FormatCase:
    """One format with one kind of model.

    Attributes
    ----------
    format
        The format under test.
    make
        Makes the model anew; equal models every time.
    same
        Whether a loaded model does what the saved one does: ``same(saved, loaded)``.
    is_deterministic
        Whether two saves of equal models give equal bytes.
    holds_anything
        Whether every object fits, as it does for formats that pickle.
    takes_any_bytes
        Whether every file is of the format, as for raw files.
    canary
        Given a directory to make and a path, writes files of the format whose load creates that
        path; None where a file of the format cannot bring anything to run or build.
    """

    format: Format
    make: Callable[[], object]
    same: Callable[[object, object], bool]
    is_deterministic: bool = True
    holds_anything: bool = False
    takes_any_bytes: bool = False
    canary: _Canary | None = None


class FormatSuite:
    """What every format promises (`chopmark.abc.formats.Format`)."""

    @pytest.fixture
    def case(self) -> FormatCase:
        """The case under test; a subclass gives it."""
        raise NotImplementedError

    def test_names_itself(self, case: FormatCase) -> None:
        """Name, rank and suffixes are well-formed, and unsafe formats stand behind safe ones."""
        assert case.format.name
        assert all(s.startswith(".") and s == s.lower() for s in case.format.suffixes)
        assert case.format.runs_code == (case.format.rank >= 90)  # as abc.formats says

    def test_a_model_comes_back(self, case: FormatCase, tmp_path: Path) -> None:
        """What was saved is loaded, and does the same."""
        model = case.make()
        saved, files = _save(case, model, tmp_path / "a")
        assert case.same(model, case.format.load(files, trusted=_all(case, saved)))

    def test_a_model_fits(self, case: FormatCase) -> None:
        """`fits` says yes to the model, and no to a stranger."""
        assert case.format.fits(case.make())
        assert case.format.fits(Stranger()) == case.holds_anything

    def test_fits_imports_nothing(self, case: FormatCase) -> None:
        """`fits` looks at the object only."""
        model = case.make()
        before = set(sys.modules)
        case.format.fits(model)
        case.format.fits(Stranger())
        assert set(sys.modules) == before

    def test_a_stranger_is_refused(self, case: FormatCase, tmp_path: Path) -> None:
        """What can be stored in no format is `Unsupported`."""
        with pytest.raises(Unsupported):
            case.format.save(Unpicklable(), tmp_path)

    def test_files_are_listed(self, case: FormatCase, tmp_path: Path) -> None:
        """Every file that was written is told, with a safe path and a known role; nothing else is."""
        saved, _ = _save(case, case.make(), tmp_path / "a")
        written = {p.relative_to(tmp_path / "a").as_posix() for p in (tmp_path / "a").rglob("*") if p.is_file()}
        assert {check_path(f.path) for f in saved.files} == written
        assert {f.role for f in saved.files} <= set(ROLES)

    def test_equal_models_have_equal_bytes(self, case: FormatCase, tmp_path: Path) -> None:
        """Two models made alike, saved at two places, are the same files."""
        if not case.is_deterministic:
            return
        first, _ = _save(case, case.make(), tmp_path / "a")
        second, _ = _save(case, case.make(), tmp_path / "b")
        assert first == second
        for file in first.files:
            assert (tmp_path / "a" / file.path).read_bytes() == (tmp_path / "b" / file.path).read_bytes()

    def test_describe_agrees_with_save(self, case: FormatCase, tmp_path: Path) -> None:
        """Files describe themselves as they were saved: the same files, roles and untrusted names."""
        saved, files = _save(case, case.make(), tmp_path / "a")
        described = case.format.describe(files)
        assert sorted(described.files, key=str) == sorted(saved.files, key=str)
        assert described.untrusted == saved.untrusted

    def test_untrusted_types_are_denied(self, case: FormatCase, tmp_path: Path) -> None:
        """Without trust nothing untrusted is built, and the refusal lists the names."""
        saved, files = _save(case, case.make(), tmp_path / "a")
        if not saved.untrusted and not case.format.runs_code:
            return
        with pytest.raises(Denied) as denied:
            case.format.load(files)
        assert tuple(denied.value.details["untrusted"]) == saved.untrusted

    def test_names_do_not_unlock_code(self, case: FormatCase, tmp_path: Path) -> None:
        """A format that runs code wants a decision about all that the bytes may do."""
        if not case.format.runs_code:
            return
        saved, files = _save(case, case.make(), tmp_path / "a")
        with pytest.raises(Denied):
            case.format.load(files, trusted=saved.untrusted)

    def test_a_look_runs_nothing(self, case: FormatCase, tmp_path: Path) -> None:
        """Describing, and a load that is denied, neither build nor run what the files bring."""
        if case.canary is None:
            assert not case.format.runs_code, "a format that runs code needs a canary"
            return
        marker = tmp_path / "marker"
        files = case.canary(tmp_path / "canary", marker)
        described = case.format.describe(files)
        assert described.untrusted
        with pytest.raises(Denied):
            case.format.load(files)
        assert not marker.exists()

    def test_the_canary_sings(self, case: FormatCase, tmp_path: Path) -> None:
        """With trust the same files do create the marker: the test before would notice."""
        if case.canary is None:
            return
        marker = tmp_path / "marker"
        files = case.canary(tmp_path / "canary", marker)
        case.format.load(files, trusted=(*case.format.describe(files).untrusted, ANY_CODE))
        assert marker.exists()

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
    def test_truncated_files_are_refused(self, case: FormatCase, tmp_path: Path, share: float) -> None:
        """A file that was cut is an error of ours, whichever file it is."""
        if case.takes_any_bytes:
            return
        saved, _ = _save(case, case.make(), tmp_path / "a")
        contents = {f.path: (tmp_path / "a" / f.path).read_bytes() for f in saved.files}
        for number, (path, data) in enumerate(contents.items()):
            cut = {**contents, path: data[: int(len(data) * share)]}
            _refused(case, saved, DirectoryFiles.write(tmp_path / f"cut-{number}", cut))

    @pytest.mark.parametrize("data", FOREIGN_BYTES, ids=range(len(FOREIGN_BYTES)))
    def test_foreign_files_are_refused(self, case: FormatCase, tmp_path: Path, data: bytes) -> None:
        """Bytes of something else are an error of ours, also to the description."""
        if case.takes_any_bytes:
            return
        saved, _ = _save(case, case.make(), tmp_path / "a")
        files = DirectoryFiles.write(tmp_path / "foreign", {f.path: data for f in saved.files})
        _refused(case, saved, files)
        with pytest.raises(InvalidRequest):
            case.format.describe(files)

    def test_no_files_are_refused(self, case: FormatCase, tmp_path: Path) -> None:
        """Nothing is no model."""
        if case.takes_any_bytes:
            return
        files = DirectoryFiles.write(tmp_path / "none", {})
        _refused(case, SavedModel(()), files)
        with pytest.raises(InvalidRequest):
            case.format.describe(files)


class Unpicklable:
    """An object that says no when it is pickled."""

    def __reduce__(self) -> str:
        """Refuse, as locks and sockets do."""
        raise TypeError("cannot pickle this")


def _save(case: FormatCase, model: object, directory: Path) -> tuple[SavedModel, DirectoryFiles]:
    directory.mkdir()
    saved = case.format.save(model, directory)
    return saved, DirectoryFiles.of(saved, directory)


def _all(case: FormatCase, saved: SavedModel) -> tuple[str, ...]:
    return (*saved.untrusted, ANY_CODE) if case.format.runs_code else saved.untrusted


def _refused(case: FormatCase, saved: SavedModel, files: DirectoryFiles) -> None:
    with pytest.raises(IntegrityFailure):
        case.format.load(files, trusted=_all(case, saved))
