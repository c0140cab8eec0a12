"""The format that the page on formats shows passes the contract suite that the page promises it."""

from typing import Any

from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "write-a-format.md"


def shown() -> dict[str, Any]:
    """What the page's code defines; its sessions are left out."""
    names: dict[str, Any] = {"__name__": __name__}
    for block in blocks(PAGE.read_text()):
        if block.language == "python" and not block.text.startswith(">>>"):
            exec(compile(block.text, PAGE.name, "exec"), names)
    return names


TestThreshold = shown()["TestThreshold"]
