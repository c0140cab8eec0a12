"""Azurite, Microsoft's own double of Azure Blob Storage, from an ignored node_modules folder."""

import base64
import hashlib
import hmac
import shutil
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from tests.backends.required import require
from tests.backends.servers import Command, answers_http, free_ports, shared_server

FOLDER = Path(__file__).parents[1] / "azurite"
SCRIPT = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
# Azurite's one built-in account; its name and key are published in its manual and open nothing else.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
API_VERSION = "2021-12-02"
CONTAINER = "chopmark-tests"


@dataclass(frozen=True)
class AzureServer:
    """Where Azurite listens. `container` exists from the start; a test keeps to a prefix of its own in it."""

    endpoint_url: str
    account: str = ACCOUNT
    account_key: str = ACCOUNT_KEY
    container: str = CONTAINER

    def create_container(self, name: str) -> None:
        request = urllib.request.Request(
            f"{self.endpoint_url}/{name}?restype=container", method="PUT", headers=self._signed_headers(name)
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _signed_headers(self, container: str) -> dict[str, str]:
        # Shared Key authorization, version 2015-02-21 and later: twelve empty standard headers, then the x-ms ones, then
        # the resource. Against the emulator the account stands in the path and so appears twice.
        date = format_datetime(datetime.now(UTC), usegmt=True)
        headers = {"x-ms-date": date, "x-ms-version": API_VERSION}
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{self.account}/{self.account}/{container}\nrestype:container"
        text = "PUT\n" + "\n" * 11 + canonical + resource
        mac = hmac.new(base64.b64decode(self.account_key), text.encode(), hashlib.sha256).digest()
        return headers | {
            "Authorization": f"SharedKey {self.account}:{base64.b64encode(mac).decode()}",
            "Content-Length": "0",
        }


def start_azurite() -> AzureServer:
    """Start the run's one Azurite, or end the test when this machine has no node or no Azurite."""
    node = shutil.which("node")
    if node is None:
        require("azure", "no `node`; install Node.js, then run: npm ci --prefix tests/azurite")
    if not SCRIPT.exists():
        require("azure", "Azurite is not installed; run: npm ci --prefix tests/azurite")
    facts = shared_server("azurite", lambda home: prepare(home, node))
    return AzureServer(str(facts["endpoint_url"]))


def prepare(home: Path, node: str) -> Command:
    (port,) = free_ports(1)
    endpoint_url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return Command(
        arguments=[
            node,
            SCRIPT,
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(port),
            "--location",
            home,
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ],
        is_ready=lambda: answers_http(f"{endpoint_url}?comp=list"),
        facts={"endpoint_url": endpoint_url},
        once_ready=lambda: AzureServer(endpoint_url).create_container(CONTAINER),
    )
