"""Op name → handler: the other half of the op table, checked against it by a test."""

from __future__ import annotations

from chopmark.app import (
    aliases,
    audit,
    evaluations,
    models,
    projects,
    registration,
    stages,
    trust,
    uses,
    versions,
)
from chopmark.app.dispatch import Handler

__all__ = ["HANDLERS"]

HANDLERS: dict[str, Handler] = {
    "project.create": Handler(projects.create),
    "project.get": Handler(projects.get),
    "project.list": Handler(projects.list_page),
    "project.configure": Handler(projects.configure),
    "model.create": Handler(models.create),
    "model.get": Handler(models.get),
    "model.list": Handler(models.list_page),
    "model.update": Handler(models.update),
    "model.delete": Handler(models.delete),
    "model.restore": Handler(models.restore),
    "model.purge": Handler(models.purge),
    "version.register": Handler(registration.register, registration.check_bytes),
    "version.plan": Handler(registration.plan),
    "version.get": Handler(versions.get),
    "version.manifest": Handler(versions.manifest),
    "version.search": Handler(versions.search),
    "version.best": Handler(versions.best),
    "version.update": Handler(versions.update),
    "version.promote": Handler(stages.promote),
    "version.archive": Handler(stages.archive),
    "version.deprecate": Handler(stages.deprecate),
    "version.delete": Handler(versions.delete),
    "version.restore": Handler(versions.restore),
    "version.purge": Handler(versions.purge),
    "version.uses": Handler(uses.list_uses),
    "version.stages": Handler(stages.history),
    "version.stage_at": Handler(stages.stage_at),
    "version.evaluate": Handler(evaluations.evaluate),
    "version.evaluations": Handler(evaluations.list_all),
    "alias.set": Handler(aliases.set_alias),
    "alias.remove": Handler(aliases.remove),
    "alias.list": Handler(aliases.list_all),
    "alias.history": Handler(aliases.history),
    "alias.at": Handler(aliases.at),
    "trust.grant": Handler(trust.grant),
    "trust.revoke": Handler(trust.revoke),
    "trust.list": Handler(trust.list_all),
    "audit.list": Handler(audit.list_page),
    "audit.verify": Handler(audit.verify),
}
