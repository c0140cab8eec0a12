"""The contract of a catalog as tests, for the built-in ones and for those of other packages.

A plug-in's tests say how to open an empty catalog and inherit everything else::

    class TestMyCatalog(CatalogSuite):
        @pytest.fixture
        def catalog(self) -> Iterator[Catalog]:
            catalog = MyCatalog()
            yield catalog
            catalog.close()
"""

from __future__ import annotations

from chopmark.testing.catalog_access import AccessLaws, SightLaws
from chopmark.testing.catalog_audit import AboutLaws
from chopmark.testing.catalog_collection import CollectionLaws
from chopmark.testing.catalog_events import AuditLaws
from chopmark.testing.catalog_experiments import ExperimentLaws, ExperimentUnitLaws
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_jobs import JobLaws
from chopmark.testing.catalog_lineage import LineageLaws
from chopmark.testing.catalog_loads import LoadLaws
from chopmark.testing.catalog_monitors import AlertLaws, MonitorLaws
from chopmark.testing.catalog_names import NameLaws
from chopmark.testing.catalog_outcomes import FeedbackLaws, ProfileCountLaws, TierLaws
from chopmark.testing.catalog_pointers import PointerLaws
from chopmark.testing.catalog_recorded import RecordedLaws
from chopmark.testing.catalog_rollouts import RolloutLaws
from chopmark.testing.catalog_routing import EndpointLaws, OutcomeLaws, RoutingLaws
from chopmark.testing.catalog_rows import RowLaws
from chopmark.testing.catalog_schedules import ScheduleLaws
from chopmark.testing.catalog_search import SearchLaws
from chopmark.testing.catalog_transactions import TransactionLaws
from chopmark.testing.catalog_versions import VersionLaws
from chopmark.testing.catalog_webhooks import DeliveryLaws, WebhookLaws

__all__ = ["CatalogFixtures", "CatalogSuite"]


class CatalogSuite(
    NameLaws,
    VersionLaws,
    PointerLaws,
    AuditLaws,
    TransactionLaws,
    AboutLaws,
    LineageLaws,
    LoadLaws,
    CollectionLaws,
    RowLaws,
    RecordedLaws,
    AccessLaws,
    SightLaws,
    JobLaws,
    ScheduleLaws,
    SearchLaws,
    WebhookLaws,
    DeliveryLaws,
    EndpointLaws,
    ExperimentLaws,
    ExperimentUnitLaws,
    RoutingLaws,
    OutcomeLaws,
    MonitorLaws,
    AlertLaws,
    TierLaws,
    FeedbackLaws,
    ProfileCountLaws,
    RolloutLaws,
):
    """What every catalog promises (`chopmark.abc.catalog`)."""
