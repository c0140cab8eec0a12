"""The contract of `chopmark.abc.records.RecordStore` as tests; the author of a store subclasses it and gives ``records``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chopmark.abc.records import RecordStore
from chopmark.errors import InvalidRequest, NotFound

__all__ = ["RecordStoreSuite"]

NO_NAMES = [
    "",
    "/etc/passwd",
    "../out",
    "a/../b",
    "a//b",
    "Upper",
    "a b",
    ".hidden",
    "a/.tmp",
    "x" * 300,
    "a/b/c/d/e/f/g",
]


class RecordStoreSuite:
    """What every store of records promises; ``records`` gives an empty one."""

    def test_what_was_put_is_got(self, records: RecordStore) -> None:
        """Bytes come back, of any length."""
        for name, data in {"a.json": b"{}", "events/1-2.jsonl": b"x" * 300_000, "deep/er/none": b""}.items():
            records.put(name, data)
            assert records.get(name) == data

    def test_names_are_sorted_and_begin_with_the_prefix(self, records: RecordStore) -> None:
        """A prefix may end within a part."""
        assert list(records.names()) == []
        for name in ["b/2", "b/10", "a", "bc/1", "b/sub/3"]:
            records.put(name, b"x")
        assert list(records.names()) == ["a", "b/10", "b/2", "b/sub/3", "bc/1"]
        assert list(records.names("b/")) == ["b/10", "b/2", "b/sub/3"]
        assert list(records.names("b/1")) == ["b/10"]
        assert list(records.names("none/")) == []

    def test_a_name_that_is_taken_is_replaced(self, records: RecordStore) -> None:
        """By the later content, whole."""
        records.put("a/b", b"first, and longer")
        records.put("a/b", b"second")
        assert records.get("a/b") == b"second"
        assert list(records.names()) == ["a/b"]

    def test_what_is_deleted_is_gone(self, records: RecordStore) -> None:
        """And it is told whether it was there."""
        records.put("a", b"x")
        assert records.delete("a")
        assert not records.delete("a")
        with pytest.raises(NotFound):
            records.get("a")
        assert list(records.names()) == []

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_what_is_no_name_is_refused(self, records: RecordStore, name: str) -> None:
        """Nothing climbs out of the place."""
        with pytest.raises(InvalidRequest):
            records.put(name, b"x")
        with pytest.raises(InvalidRequest):
            records.get(name)
        with pytest.raises(InvalidRequest):
            records.delete(name)

    def test_threads_may_write_one_name_and_many(self, records: RecordStore) -> None:
        """Whoever is last wins; nobody sees a mixture."""
        contents = [bytes([65 + i]) * 20_000 for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda data: records.put("one", data), contents))
            list(pool.map(lambda i: records.put(f"many/{i}", contents[i]), range(8)))
        assert records.get("one") in contents
        assert [records.get(name) for name in records.names("many/")] == contents
