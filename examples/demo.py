"""The main job, on real data: from trained detectors to versions one can trust, move and load.

Trains three anomaly detectors, two versions each, on river's Shuttle data (49,097 rows of sensor
readings of a space shuttle, 7.15 % anomalies) and scikit-learn's breast cancer data; registers
them with metrics on held-out rows; compares them on those rows; promotes with reasons; loads by stage
and by alias; shows that a tampered file is refused; draws the lineage and writes a report; frees
the bytes of what was purged; makes a deleted database again; and serves it all over HTTP, where a
version is registered while another program hears of it, and an endpoint answers curl. Needs no network. Leaves ``demo-registry``
to explore.

    python examples/demo.py [DIRECTORY]
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import urllib3
from river.anomaly import HalfSpaceTrees
from river.compose import Pipeline
from river.datasets import Shuttle
from river.preprocessing import MinMaxScaler
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

import chopmark as cm

SEED = 7
STREAM_ROWS = 6_000


class Data(NamedTuple):
    """Rows to learn from, and held-out rows with the truth (1 is an anomaly)."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    truth: np.ndarray


def main() -> None:
    """Run the demo."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-registry")
    make_room(directory)
    started = time.perf_counter()
    with cm.open(directory) as registry:
        data = [shuttle(), tumours()]
        registered = register_all(registry, *data)
        compare(registry, *data)
        govern(registry, registered)
        use(registry, data[0])
        refuse_tampering(registry)
        tell(registry, directory)
        free(registry, data[0])
        head = verify(registry)
    lose_and_rebuild(directory, head)
    serve(directory, data[0])
    say(f"\nDone in {time.perf_counter() - started:.1f} s. The registry stays in {directory}; try:\n")
    for command in (
        "chopmark list shuttle-forest",
        "chopmark get shuttle-forest@champion",
        "chopmark search 'metrics.roc_auc > 0.9 order by metrics.roc_auc desc'",
        "chopmark compare tumour-neighbours:1 tumour-neighbours:2",
        "chopmark lineage shuttle-stream@champion",
        "chopmark audit trail shuttle-forest:2",
        "chopmark fsck",
        "chopmark --help",
    ):
        say(f"  CHOPMARK_URL={directory} .venv/bin/{command}")


def shuttle() -> Data:
    """Shuttle: four fifths of the rows to learn from, without labels."""
    rows = pd.DataFrame.from_records([{**x, "anomaly": y} for x, y in Shuttle()])
    return split("shuttle", rows.drop(columns="anomaly"), rows["anomaly"].to_numpy(dtype=int))


def tumours() -> Data:
    """Breast cancer: benign rows are normal, malignant ones are the anomalies to find."""
    rows, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    data = split("breast-cancer", rows, 1 - benign.to_numpy())
    normal = data.train.index[benign.loc[data.train.index] == 1]
    return data._replace(train=data.train.loc[normal])


def split(name: str, rows: pd.DataFrame, truth: np.ndarray) -> Data:
    """Hold a fifth of the rows out, with the same share of anomalies."""
    train, test, _, held_out = train_test_split(rows, truth, test_size=0.2, stratify=truth, random_state=SEED)
    return Data(name, train, test, held_out)


def detectors() -> list[tuple[str, str, list[Any]]]:
    """Model name, data set and its two versions, pre-processing included."""
    forests = [make_pipeline(RobustScaler(), IsolationForest(n_estimators=n, random_state=SEED)) for n in (20, 100)]
    # river learns row by row; its models are pickled, so loading one needs a trust decision
    streams = [Pipeline(MinMaxScaler(), HalfSpaceTrees(n_trees=n, height=h, seed=SEED)) for n, h in ((10, 6), (25, 8))]
    neighbours = [make_pipeline(StandardScaler(), LocalOutlierFactor(n_neighbors=k, novelty=True)) for k in (5, 25)]
    return [
        ("shuttle-forest", "shuttle", forests),
        ("shuttle-stream", "shuttle", streams),
        ("tumour-neighbours", "breast-cancer", neighbours),
    ]


def learn(detector: Any, rows: pd.DataFrame) -> None:
    """Fit a detector: at once, or row by row where it learns from a stream."""
    if hasattr(detector, "learn_one"):
        for row in rows.head(STREAM_ROWS).to_dict("records"):
            detector.learn_one(row)
    else:
        detector.fit(rows)


def scores(detector: Any, rows: pd.DataFrame) -> np.ndarray:
    """How odd each row is; higher is odder."""
    if hasattr(detector, "score_one"):
        return np.array([detector.score_one(row) for row in rows.to_dict("records")])
    return -detector.decision_function(rows)


def register_all(registry: cm.Registry, *data: Data) -> dict[str, list[cm.Version]]:
    """Train every detector and register it with metrics on held-out rows."""
    by_name = {d.name: d for d in data}
    registered: dict[str, list[cm.Version]] = {}
    for name, data_name, versions in detectors():
        rows = by_name[data_name]
        say(f"\n{name}: learns from {len(rows.train):,} rows of {rows.name}")
        for detector in versions:
            learn(detector, rows.train)
            version = registry.register(
                name,
                detector,
                metrics=metrics_of(detector, rows),
                dataset=cm.dataset(rows.train, name=rows.name, split="train"),
                example=rows.train.head(50),
                parents=[f"{name}:latest"] if name in registered else (),
                tags={"data": rows.name, "seed": str(SEED)},
                task="anomaly-detection",
                owner="demo",
            )
            registered.setdefault(name, []).append(version)
            say(indented(version))
    return registered


def metrics_of(detector: Any, data: Data) -> dict[str, float]:
    """How well a detector finds the anomalies among held-out rows."""
    odd = scores(detector, data.test)
    flagged = odd >= np.quantile(odd, 1 - data.truth.mean())
    return {
        "roc_auc": roc_auc_score(data.truth, odd),
        "average_precision": average_precision_score(data.truth, odd),
        "f1": f1_score(data.truth, flagged),
    }


def compare(registry: cm.Registry, *data: Data) -> None:
    """Put the two versions of each scikit-learn detector side by side on rows that neither has seen."""
    by_name = {d.name: d for d in data}
    for name, data_name in (("shuttle-forest", "shuttle"), ("tumour-neighbours", "breast-cancer")):
        rows = by_name[data_name]
        sample = rows.test.index[:2_000]
        found = registry.compare([f"{name}:1", f"{name}:2"], data=(rows.test.loc[sample], rows.truth[:2_000]))
        say(f"\n{name}: its two versions on {len(sample):,} held-out rows")
        say(indented(found))


def govern(registry: cm.Registry, registered: dict[str, list[cm.Version]]) -> None:
    """Promote the better version of each detector with a reason, and name the champions."""
    say("\nPromotion: the best on held-out rows goes to production, through staging")
    for name, versions in registered.items():
        best = registry.versions.best(name, by="roc_auc")
        other = next(v for v in versions if v.number != best.number)
        gain = best.metrics["roc_auc"] - other.metrics["roc_auc"]
        registry.promote(best, "staging", reason="checked on held-out rows")
        reason = f"roc_auc {best.metrics['roc_auc']:.4f}, {gain:+.4f} against {other.ref}"
        registry.promote(best, "production", reason=reason)
        registry.alias(f"{name}@champion", best, reason=reason)
        say(f"  {best.ref:<22} → production, @champion: {reason}")


def use(registry: cm.Registry, data: Data) -> None:
    """Load by stage and by alias, and score rows never seen."""
    by_stage = scores(registry.load("shuttle-forest#production"), data.test)
    by_alias = scores(registry.load("shuttle-forest@champion"), data.test)
    if not np.array_equal(by_stage, by_alias):
        sys.exit("The version in production and the champion answer differently.")
    version = registry.get("shuttle-forest@champion")
    odd = by_alias >= np.quantile(by_alias, 1 - data.truth.mean())
    found = int((odd & (data.truth == 1)).sum())
    say(
        f"\nLoaded {version.ref} by stage and by alias ({version.digest[:19]}…): "
        f"{found:,} of {int(data.truth.sum()):,} anomalies are among the {int(odd.sum()):,} oddest "
        f"of {len(data.test):,} rows"
    )
    stream = registry.get("shuttle-stream@champion")
    scores(registry.load(stream), data.test.head(10))
    decision = registry.trust.list(stream)[0]
    say(f"Loaded {stream.ref}, which {trust_words(stream, decision.basis)}")


def trust_words(version: cm.Version, basis: str) -> str:
    """Say that loading ran code, and on whose word."""
    if not version.runs_code:
        return "brings no code"
    return f"runs code on load ({version.format}); the decision is recorded: {basis}"


def refuse_tampering(registry: cm.Registry) -> None:
    """Change one byte of a stored model and try to load it."""
    victim = registry.get("tumour-neighbours:1")
    file = stored_file(registry, registry.files.list(victim)[0].digest)
    before = file.read_bytes()
    file.chmod(0o644)
    try:
        file.write_bytes(before[:-100] + bytes([before[-100] ^ 1]) + before[-99:])
        registry.load(victim)
    except cm.errors.IntegrityFailure as refusal:
        say(f"\nOne bit of {victim.ref} was flipped on disk; loading it:")
        say(f"  IntegrityFailure: {str(refusal).replace(chr(10), chr(10) + '  ')}")
    else:
        sys.exit("A tampered model was loaded.")
    finally:
        file.write_bytes(before)
        file.chmod(0o444)


def stored_file(registry: cm.Registry, digest: str) -> Path:
    """Where the store keeps a blob."""
    name = digest.removeprefix("sha256:")
    return next(p for p in Path(registry.location).rglob(f"{name[:2]}*/**/*") if name[4:] in p.name)


def tell(registry: cm.Registry, directory: Path) -> None:
    """Draw where a champion comes from, and write its whole story."""
    say("\nWhere shuttle-stream@champion comes from, and what came of it:")
    say("\n".join(f"  {line}" for line in registry.lineage.graph("shuttle-stream@champion").to_text().splitlines()))
    report = directory / "shuttle-forest.html"
    written = registry.versions.report("shuttle-forest@champion", path=report)
    say(f"The story of shuttle-forest@champion, with plots, is in {report} ({len(written):,} characters)")


def free(registry: cm.Registry, data: Data) -> None:
    """Purge a version that was a mistake, and free its bytes: first told, then done."""
    mistake = IsolationForest(n_estimators=150, random_state=SEED).fit(data.train)
    version = registry.register("shuttle-forest", mistake, task="anomaly-detection", owner="demo")
    registry.versions.delete(version, reason="not scaled")
    registry.versions.purge(version, reason="not scaled")
    planned = list(registry.storage.garbage(grace_hours=0))
    say(f"\n{version.ref} was a mistake and is purged. A collection would free:")
    for item in planned:
        say(f"  {item.kind:<8} {item.what[:26]:<26} {item.size_bytes:>9,} bytes: {item.why}")
    freed = registry.storage.collect(grace_hours=0)
    if freed.size_bytes != sum(item.size_bytes for item in planned):
        sys.exit("The collection freed something else than it said.")
    say(f"It did: {freed.size_bytes:,} bytes are free.")


def lose_and_rebuild(directory: Path, head: str) -> None:
    """Delete the database, and make it again from the records beside the blobs."""
    for file in directory.glob("chopmark.db*"):
        file.unlink()
    rebuilt = cm.rebuild(directory)
    if rebuilt.head != head:
        sys.exit("The audit did not come back as it was.")
    with cm.open(directory) as registry:
        verdict = registry.audit.verify()
        found = registry.storage.check()
        if verdict.fault or not found.ok:
            sys.exit(f"The registry is not whole: {verdict.fault or found}")
        say(
            f"\nThe database was deleted and made again from the records: {rebuilt.versions} versions, "
            f"{rebuilt.events} events with the same last hash {head[:19]}. "
            f"Checked: {found.read_bytes:,} bytes, rows, history and audit agree."
        )


def serve(directory: Path, data: Data) -> None:
    """Serve the registry, register over HTTP while somebody hears of it, and stop the server as a service would be."""
    command = [sys.executable, "-m", "chopmark", "serve", "--port", "0"]
    log = directory / "server.log"
    with log.open("w") as stderr:
        server = subprocess.Popen(
            command, env=os.environ | {"CHOPMARK_URL": str(directory)}, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        url, token = address_and_token(server)
        say(
            f"\nchopmark serve: the same registry at {url}, for whoever has a token. Registering over HTTP, others hear:"
        )
        heard: queue.Queue[Any] = queue.Queue()
        with (
            cm.open(url, token=token, cache_dir=directory / "cache") as listening,
            cm.open(url, token=token, cache_dir=directory / "cache") as registry,
        ):
            listening.on("*", heard.put)
            # a registry of somebody else's: code, and types not known to be harmless, wait for a recorded word
            registry.trust.grant("shuttle-forest@champion", reason="trained above")
            before = registry.load("shuttle-forest@champion")
            version = registry.register(
                "shuttle-forest",
                before,
                bump="patch",
                example=data.train.head(50),
                task="anomaly-detection",
                owner="demo",
            )
            registry.trust.grant(version, reason="the same forest")
            registry.alias("shuttle-forest@challenger", version, reason="to be tried beside the champion")
            for _ in range(4):
                event = heard.get(timeout=30)
                say(f"  heard: {event.event} {event.target} by {event.actor}")
            after = registry.load("shuttle-forest@challenger")
            if not np.array_equal(scores(after, data.test), scores(before, data.test)):
                sys.exit("What came back over HTTP answers differently.")
            answer(registry, url, token, data)
        place = f"{url}/api/v1/resolve?ref=shuttle-forest@challenger"
        found = urllib3.request("GET", place, headers={"Authorization": f"Bearer {token}"}, timeout=30).json()
        say(
            f"  without Python, GET /api/v1/resolve: {found['ref']} is {found['digest'][:19]}…, {len(found['files'])} file"
        )
    finally:
        server.terminate()
        code = server.wait(30)
    if code:
        sys.exit(f"The server ended with {code}; {log} says why.")


def answer(registry: cm.Registry, url: str, token: str, data: Data) -> None:
    """Put the champion behind a name, ask it as any client would, and give the challenger a share of the traffic."""
    champion = registry.load("shuttle-forest@champion")
    created = registry.endpoints.create("shuttle-api", "shuttle-forest@champion", reason="the demo")
    wait_until_live(registry, created.generation)
    rows = {"rows": data.test.head(200).to_dict("records")}
    said = curl(f"{url}/predict/shuttle-api", rows, token)
    if said["predictions"] != champion.predict(data.test.head(200)).tolist():
        sys.exit("The endpoint answers otherwise than the model.")
    say(
        f"\ncurl {url}/predict/shuttle-api: {said['predictions'].count(-1)} of 200 rows are odd, says "
        f"{said['model']}:{said['version']}, {said['digest'][:19]}…; the model itself says the same."
    )
    split = {"shuttle-forest@champion": 80, "shuttle-forest@challenger": 20}
    changed = registry.endpoints.split("shuttle-api", split, reason="a first look")
    wait_until_live(registry, changed.generation)
    one_row = {"rows": rows["rows"][:1]}
    answered = [curl(f"{url}/predict/shuttle-api", one_row, token, key=f"user-{n}")["variant"] for n in range(40)]
    say(
        f"A fifth of the traffic to the challenger: of 40 users it answered {answered.count('candidate')}. What is live:"
    )
    say(indented(registry.endpoints.live("shuttle-api")))


def wait_until_live(registry: cm.Registry, generation: int) -> None:
    """Wait until the routers say that they serve it."""
    limit = time.monotonic() + 60
    while True:
        (live,) = registry.endpoints.live("shuttle-api").endpoints
        if not live.findings and {each.served.generation for each in live.variants} == {generation}:
            return
        if time.monotonic() > limit:
            sys.exit(f"shuttle-api is not live: {'; '.join(live.findings)}")
        time.sleep(0.1)


def curl(url: str, body: dict[str, Any], token: str, key: str = "") -> dict[str, Any]:
    """Ask with curl; without it with a library."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "x-chopmark-key": key}
    if shutil.which("curl") is None:
        reply = urllib3.request("POST", url, headers=headers, body=json.dumps(body), timeout=30)
        return dict(reply.json())
    named = [word for name, value in headers.items() if value for word in ("-H", f"{name}: {value}")]
    asked = ["curl", "--silent", "--show-error", "--fail-with-body", *named, "--data", "@-", url]
    ran = subprocess.run(asked, input=json.dumps(body), capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"curl failed: {ran.stderr}{ran.stdout}")
    return dict(json.loads(ran.stdout))


def address_and_token(server: subprocess.Popen[str]) -> tuple[str, str]:
    """What a server says of itself when it starts for the first time."""
    words: list[str] = []
    for line in server.stdout or ():
        words += line.split()
        if words[-1].startswith("cm_"):
            return next(word for word in words if word.startswith("http")), words[-1]
    sys.exit("The server did not start.")


def verify(registry: cm.Registry) -> str:
    """Read every byte again, now that the bit is back, and walk the audit; the hash of its last event."""
    for name, _, _ in detectors():
        for version in registry.versions.list(name):
            if not registry.files.verify(version).ok:
                sys.exit(f"{version.ref} is damaged.")
    verdict = registry.audit.verify()
    say(f"\nThe bit was put back. Every byte verified; the audit's chain of {verdict.events} events is whole.")
    return verdict.head


def make_room(directory: Path) -> None:
    """Remove what an earlier run left; a registry that holds anything else is left alone."""
    if not (directory / "chopmark.db").exists():
        return
    with cm.open(directory) as registry:
        others = {m.name for m in registry.models.list(limit=1000)} - {name for name, _, _ in detectors()}
    if others:
        sys.exit(f"{directory} holds {', '.join(sorted(others))}, which the demo did not make: pass another directory.")
    say(f"Starting anew: {directory} held only what the demo made.")
    shutil.rmtree(directory)


def indented(value: object) -> str:
    """The value's lines, two to the right."""
    return "\n".join(f"  {line}" for line in repr(value).splitlines())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
