"""The part of the catalog's contract that is about who may do what, and who sees what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from chopmark.abc.access import MemberKey
from chopmark.abc.catalog import Catalog, Transaction
from chopmark.domain.access import CustomRole, Member, MemberKind
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage import Edge, dataset_node, run_node, version_node
from chopmark.domain.query import parse_query
from chopmark.domain.tokens import Token
from chopmark.domain.versions import Version
from chopmark.errors import Conflict, InvalidRequest
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_records import Records

__all__ = ["AccessLaws", "SightLaws"]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KINDS: tuple[MemberKind, ...] = ("actor", "group")


def a_token(token_id: str = "0" * 16, owner: str = "ada") -> Token:
    """A token that has everything."""
    return Token(
        id=token_id,
        name="ci",
        owner=owner,
        kind="service",
        scopes=("read", "register"),
        project="risk",
        created_at=NOON,
        created_by="eve",
        expires_at=NOON + HOUR,
    )


def a_member(project: str, member: str, *, kind: MemberKind = "actor", role: str = "viewer") -> Member:
    """A membership."""
    return Member(project=project, kind=kind, member=member, role=role, since=NOON, by="eve")


class AccessLaws(CatalogFixtures):
    """Tokens, members, roles, and who put bytes."""

    def test_a_token_comes_back_with_its_hash(self, catalog: Catalog) -> None:
        """And None for an id that is not there; an id is taken once."""
        token = a_token()
        with catalog.writing() as tx:
            tx.tokens.insert(token, "sha256:x")
            with pytest.raises(Conflict):
                tx.tokens.insert(token, "sha256:y")
        with catalog.reading() as tx:
            assert tx.tokens.get(token.id) == (token, "sha256:x")
            assert tx.tokens.get("f" * 16) is None

    def test_tokens_are_listed_by_id(self, catalog: Catalog) -> None:
        """Page by page, of one owner or of all."""
        with catalog.writing() as tx:
            for n, owner in enumerate(("ada", "bob", "ada")):
                tx.tokens.insert(a_token(f"{n:016}", owner), "h")
        with catalog.reading() as tx:
            assert [t.id[-1] for t in tx.tokens.list(limit=9)] == ["0", "1", "2"]
            assert [t.id[-1] for t in tx.tokens.list(owner="ada", limit=1)] == ["0"]
            assert [t.id[-1] for t in tx.tokens.list(owner="ada", after="0" * 16, limit=9)] == ["2"]
            assert tx.tokens.list(owner="carl", limit=9) == []

    def test_a_token_is_revoked_once_and_used_later_and_later(self, catalog: Catalog) -> None:
        """Times only go one way; ids that are gone are passed over."""
        token = a_token()
        with catalog.writing() as tx:
            tx.tokens.insert(token, "h")
            tx.tokens.revoke(token.id, NOON)
            tx.tokens.revoke(token.id, NOON + HOUR)
            tx.tokens.revoke("f" * 16, NOON)
            tx.tokens.used({token.id: NOON + HOUR, "f" * 16: NOON})
            tx.tokens.used({token.id: NOON})
            tx.tokens.used({})
        with catalog.reading() as tx:
            found = tx.tokens.get(token.id)
        assert found is not None
        assert (found[0].revoked_at, found[0].used_at) == (NOON, NOON + HOUR)

    def test_tokens_that_ended_are_removed(self, catalog: Catalog) -> None:
        """Those that expired or were revoked before a time, and no others."""
        expired, revoked, good = (a_token(f"{n:016}") for n in range(3))
        good = msgspec.structs.replace(good, expires_at=None)
        with catalog.writing() as tx:
            tx.tokens.insert(expired, "h")
            tx.tokens.insert(msgspec.structs.replace(revoked, expires_at=None, revoked_at=NOON), "h")
            tx.tokens.insert(good, "h")
            assert tx.tokens.remove_ended(NOON) == 0
            assert tx.tokens.remove_ended(NOON + 2 * HOUR) == 2
            assert tx.tokens.list(limit=9) == [good]

    def test_a_member_is_set_changed_and_removed(self, catalog: Catalog) -> None:
        """One role for each member of a project; an actor and a group of one name are two."""
        ada, group = a_member("risk", "ada"), a_member("risk", "ada", kind="group", role="admin")
        with catalog.writing() as tx:
            for member in (ada, group, msgspec.structs.replace(ada, role="admin")):
                tx.members.put(member)
            assert tx.members.get(MemberKey("risk", "actor", "ada")) == msgspec.structs.replace(ada, role="admin")
            assert tx.members.get(MemberKey("other", "actor", "ada")) is None
            assert tx.members.remove(MemberKey("risk", "actor", "ada"))
            assert not tx.members.remove(MemberKey("risk", "actor", "ada"))
            assert tx.members.list(limit=9) == [group]

    def test_members_are_listed_by_project_and_name(self, catalog: Catalog) -> None:
        """Page by page; of one project, or of those that are seen."""
        members = [a_member(p, m, kind=k) for p in "*ab" for k in KINDS for m in ("x", "y")]
        with catalog.writing() as tx:
            for member in reversed(members):
                tx.members.put(member)
        with catalog.reading() as tx:
            assert tx.members.list(limit=99) == members
            assert tx.members.list(project="a", limit=99) == members[4:8]
            assert tx.members.list(among=("b",), limit=99) == members[8:]
            assert tx.members.list(project="a", among=("b", "c"), limit=99) == []
            assert tx.members.list(among=(), limit=99) == []
            paged, after = list[Member](), MemberKey("", "", "")
            while page := tx.members.list(after=after, limit=3):
                paged += page
                after = MemberKey(page[-1].project, page[-1].kind, page[-1].member)
        assert paged == members

    def test_memberships_of_an_actor_and_of_groups(self, catalog: Catalog) -> None:
        """An actor's own, and those of every group, many as they may be."""
        own, of_group = a_member("risk", "ada"), a_member("*", "g299", kind="group")
        with catalog.writing() as tx:
            for member in (own, of_group, a_member("risk", "g299"), a_member("risk", "ada", kind="group")):
                tx.members.put(member)
            assert tx.members.of("ada") == [own]
            found = tx.members.of("ada", [f"g{n}" for n in range(300)])
            assert sorted(found, key=lambda m: m.project) == [of_group, own]
            assert len(tx.members.with_role("viewer", limit=9)) == 4
            assert len(tx.members.with_role("viewer", limit=2)) == 2
            assert tx.members.with_role("admin", limit=9) == []

    def test_roles_are_defined_and_removed(self, catalog: Catalog) -> None:
        """By name; a second definition replaces the first."""
        role = CustomRole(name="tester", permissions=("evaluate", "read"), description="ä")
        with catalog.writing() as tx:
            tx.roles.put(CustomRole(name="tester", permissions=("read",)))
            tx.roles.put(role)
            tx.roles.put(CustomRole(name="a", permissions=("read",)))
            assert tx.roles.get("tester") == role
            assert [r.name for r in tx.roles.list()] == ["a", "tester"]
            assert tx.roles.remove("a")
            assert not tx.roles.remove("a")
            assert tx.roles.get("a") is None

    def test_bytes_are_shown_to_who_put_them_or_sees_a_version(self, catalog: Catalog, records: Records) -> None:
        """For a time; and to who sees a project whose versions, deleted or not, have them."""
        with catalog.writing() as tx:
            tx.projects.insert(records.project("risk"))
            model = records.model("fraud", project="risk")
            tx.models.insert(model)
            manifest = records.manifest()
            tx.versions.insert(records.version(model, 1, manifest), manifest)
            had = manifest.files[0].digest
            tx.puts.note("sha256:put", "ada", NOON - HOUR)
            tx.puts.note("sha256:put", "ada", NOON)
            tx.puts.note("sha256:old", "ada", NOON - HOUR)
        digests = ["sha256:put", "sha256:old", had, "sha256:none"]
        with catalog.reading() as tx:
            assert tx.puts.shown(digests, "ada", NOON, ["other"]) == {"sha256:put"}
            assert tx.puts.shown(digests, "eve", NOON, ["risk", "other", "more"]) == {had}
            assert tx.puts.shown(digests, "ada", NOON - HOUR, ()) == {"sha256:put", "sha256:old"}
            many = [f"sha256:{n}" for n in range(600)]
            assert tx.puts.shown([*many, had], "eve", NOON, ["risk"]) == {had}
        with catalog.writing() as tx:
            assert tx.puts.remove(NOON) == 1
            assert tx.puts.shown(digests, "ada", NOON - HOUR, ()) == {"sha256:put"}

    def test_a_transaction_that_reads_changes_none_of_this(self, catalog: Catalog) -> None:
        """Refused, as any other change."""
        changes: list[Callable[[Transaction], object]] = [
            lambda tx: tx.tokens.insert(a_token(), "h"),
            lambda tx: tx.tokens.used({"0" * 16: NOON}),
            lambda tx: tx.tokens.revoke("0" * 16, NOON),
            lambda tx: tx.members.put(a_member("risk", "ada")),
            lambda tx: tx.members.remove(MemberKey("risk", "actor", "ada")),
            lambda tx: tx.roles.put(CustomRole(name="a", permissions=())),
            lambda tx: tx.puts.note("d", "ada", NOON),
        ]
        for change in changes:
            with pytest.raises(InvalidRequest), catalog.reading() as tx:
                change(tx)


class SightLaws(CatalogFixtures):
    """Lists with ``among`` show what is of these projects, before they are cut into pages."""

    @pytest.fixture
    def apart(self, catalog: Catalog, records: Records) -> dict[str, Version]:
        """One version in each of three projects."""
        found = {}
        with catalog.writing() as tx:
            for project in ("default", "hidden", "risk"):
                tx.projects.insert(records.project(project))
                model = records.model("fraud", project=project)
                tx.models.insert(model)
                manifest = records.manifest()
                version = records.version(model, 1, manifest)
                tx.versions.insert(version, manifest)
                found[project] = version
        return found

    def test_names_in_sight(self, catalog: Catalog, apart: dict[str, Version]) -> None:
        """Projects and models."""
        assert len(apart) == 3
        with catalog.reading() as tx:
            assert [p.name for p in tx.projects.list(among=("risk", "default", "none"), limit=9)] == ["default", "risk"]
            assert tx.projects.list(among=(), limit=9) == []
            assert [m.project for m in tx.models.list(project=None, among=("risk",), limit=9)] == ["risk"]
            assert tx.models.list(project="hidden", among=("risk", "default"), limit=9) == []

    def test_searches_in_sight(self, catalog: Catalog, apart: dict[str, Version]) -> None:
        """In any order, with one project or several, and page by page."""
        for order in ("", "order by created_at desc", "order by name", "order by metrics.f1", "order by tags.team"):
            query = parse_query(order)
            with catalog.reading() as tx:
                for among in (("risk",), ("default", "risk"), ("none",), ()):
                    seen, after = list[str](), None
                    while True:
                        page = tx.versions.search(query, among=among, after=after, limit=1)
                        seen += [v.project for v in page.versions]
                        if page.position is None:
                            break
                        after = page.position
                    assert sorted(seen) == sorted(set(among) & set(apart)), (order, among)
                assert tx.versions.search(query, project="hidden", among=("risk",), limit=9).versions == []

    def test_lineage_in_sight(self, catalog: Catalog, apart: dict[str, Version]) -> None:
        """What is hidden is neither met nor walked through, in either direction."""
        a, hidden, b = (version_node(apart[p].id) for p in ("risk", "hidden", "default"))
        data, run = dataset_node(DatasetRef(name="d")), run_node("r")
        edges = [
            Edge(source=source, relation=relation, target=target, at=NOON)
            for source, relation, target in (
                (a, "derived_from", hidden),
                (hidden, "derived_from", b),
                (a, "trained_on", data),
                (hidden, "trained_on", data),
                (a, "produced_by", run),
                (b, "ensemble_member_of", a),
                (hidden, "ensemble_member_of", a),
            )
        ]
        with catalog.writing() as tx:
            tx.lineage.insert(edges)
            for depth in (None, 5):
                everything = tx.lineage.reach(a, upstream=True, depth_max=depth, limit=99)
                assert {(e.source, e.target) for e in everything} == {
                    (e.source, e.target) for e in edges if e != edges[3]
                } | {(hidden, data)}
                up = tx.lineage.reach(a, upstream=True, depth_max=depth, among=("default", "risk"), limit=99)
                assert {(e.source, e.target) for e in up} == {(a, data), (a, run), (b, a)}
                down = tx.lineage.reach(b, upstream=False, depth_max=depth, among=("default", "risk"), limit=99)
                assert {(e.source, e.target) for e in down} == {(b, a)}
                users = tx.lineage.reach(data, upstream=False, depth_max=depth, among=("risk",), limit=99)
                assert {(e.source, e.target) for e in users} == {(a, data)}

    def test_datasets_in_sight(self, catalog: Catalog, apart: dict[str, Version]) -> None:
        """Those that a version in sight was trained or evaluated on."""
        refs = [DatasetRef(name=name, digest="sha256:" + digit * 64) for name, digit in (("x", "a"), ("y", "b"))]
        nodes = [dataset_node(ref) for ref in refs]
        users = [version_node(apart[p].id) for p in ("risk", "hidden")]
        with catalog.writing() as tx:
            tx.datasets.put(DatasetRecord(node=n, dataset=d, at=NOON) for n, d in zip(nodes, refs, strict=True))
            tx.lineage.insert(
                Edge(source=u, relation="evaluated_on", target=n, at=NOON) for u, n in zip(users, nodes, strict=True)
            )
            for among, seen in (
                (("risk", "default"), ["x"]),
                (("hidden",), ["y"]),
                (("default",), []),
                (None, ["x", "y"]),
            ):
                assert [r.name for r in tx.datasets.list(among=among, limit=9)] == seen
                assert sorted(r.name for r in tx.datasets.get(nodes, among=among)) == seen
                assert [r.name for r in tx.datasets.starting("dataset:sha256:", among=among, limit=9)] == seen
                assert [r.name for r in tx.datasets.named("x", among=among, limit=9)] == [n for n in seen if n == "x"]
            assert [r.name for r in tx.datasets.list(contains="Y", among=("risk", "hidden"), limit=9)] == ["y"]

    def test_audit_in_sight(self, catalog: Catalog, records: Records) -> None:
        """By the project that an event happened in: that of its target, of which those of the default one are not written."""
        happened = [
            ("project.created", "risk"),
            ("model.created", "risk"),  # a model of that name in the default project
            ("version.registered", "risk/fraud:1"),
            ("alias.set", "fraud@champion"),
            ("project.configured", "default"),
            ("member.set", "hidden"),
            ("member.set", "*"),
            ("lineage.linked", "hidden/fraud:1"),
            ("storage.collected", "storage"),
            ("token.created", "0" * 16),
            ("role.defined", "risk"),
        ]
        with catalog.writing() as tx:
            for name, target in happened:
                tx.audit.append(msgspec.structs.replace(records.event(), event=name, target=target))
        expected = {("risk",): [1, 3], ("default",): [2, 4, 5], ("hidden", "risk"): [1, 3, 6, 8], (): []}
        with catalog.reading() as tx:
            for among, seqs in expected.items():
                assert [e.seq for e in tx.audit.list(among=among, limit=99)] == seqs
                assert [e.seq for e in tx.audit.list(among=among, newest_first=True, limit=1)] == seqs[-1:]
            assert [e.seq for e in tx.audit.list(event="member.set", among=("hidden",), limit=9)] == [6]
            assert len(tx.audit.list(limit=99)) == len(happened)
