"""Every verb of the system can be reached from the command line."""

from chopmark.ops.table import OPS
from tests.cli.running import leaf_commands

COMMAND_OF = {
    "project.create": "project create",
    "project.get": "project get",
    "project.list": "project list",
    "project.configure": "project configure",
    "model.create": "model create",
    "model.get": "model get",
    "model.list": "model list",
    "model.update": "model update",
    "model.delete": "model delete",
    "model.restore": "model restore",
    "model.purge": "model purge",
    "version.register": "register",
    "version.plan": "register",
    "version.get": "get",
    "version.manifest": "files",
    "version.search": "search",
    "version.best": "best",
    "version.update": "describe",
    "version.promote": "promote",
    "version.archive": "archive",
    "version.deprecate": "deprecate",
    "version.delete": "delete",
    "version.restore": "restore",
    "version.purge": "purge",
    "version.compare": "compare",
    "version.story": "report",
    "lineage.graph": "lineage",
    "lineage.impact": "impact",
    "lineage.link": "link",
    "lineage.unlink": "unlink",
    "dataset.list": "dataset list",
    "dataset.get": "dataset get",
    "version.uses": "uses",
    "version.stages": "history",
    "version.stage_at": "history",
    "version.evaluate": "evaluate",
    "version.evaluations": "evaluations",
    "alias.set": "alias set",
    "alias.remove": "alias remove",
    "alias.get": "alias get",
    "alias.list": "alias list",
    "alias.history": "alias history",
    "alias.at": "alias at",
    "trust.grant": "trust grant",
    "trust.revoke": "trust revoke",
    "trust.list": "trust list",
    "usage.record": "usage",
    "usage.list": "usage",
    "version.export": "export",
    "version.import": "import",
    "registry.rebuild": "rebuild",
    "storage.plan": "gc",
    "storage.collect": "gc",
    "storage.usage": "du",
    "storage.totals": "du",
    "storage.why": "why",
    "storage.check": "fsck",
    "storage.sweep": "job run",
    "registry.expire": "job run",
    "schedule.set": "schedule set",
    "schedule.remove": "schedule remove",
    "schedule.pause": "schedule pause",
    "schedule.resume": "schedule resume",
    "schedule.list": "schedule list",
    "job.list": "job list",
    "job.get": "job get",
    "job.run": "job run",
    "job.retry": "job retry",
    "job.cancel": "job cancel",
    "actor.get": "whoami",
    "token.create": "token create",
    "token.list": "token list",
    "token.revoke": "token revoke",
    "member.set": "member set",
    "member.remove": "member remove",
    "member.list": "member list",
    "role.define": "role define",
    "role.remove": "role remove",
    "role.list": "role list",
    "audit.list": "audit list",
    "audit.trail": "audit trail",
    "audit.at": "audit at",
    "audit.verify": "audit verify",
}


def test_every_op_has_a_command() -> None:
    assert set(COMMAND_OF) == set(OPS)
    commands = {" ".join(words) for words in leaf_commands()}
    assert set(COMMAND_OF.values()) <= commands


def test_what_changes_things_takes_a_reason_where_the_op_does() -> None:
    for name, op in OPS.items():
        if "reason" in op.request.__struct_fields__:
            command = leaf_commands()[tuple(COMMAND_OF[name].split())]
            assert "--reason" in {flag for p in command.params for flag in p.opts}, name
