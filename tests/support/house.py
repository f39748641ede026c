"""Sandsweep itself, for tests: its processes, and functions with everything that belongs to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .stack import ROOT, Stack, wait_until

BUILD = Path(os.environ.get("SANDSWEEP_BUILD", ROOT / "build" / "test")).resolve()

# Short waits, so that a test sees in seconds what takes minutes in production.
QUICK = {
    "worker.claim_poll_ms": "100",
    "worker.lease_ms": "6000",
    "worker.probe_ms": "20",
    "worker.probe_max_ms": "200",
    "worker.confirm_ms": "60",
    "worker.conflict_ms": "200",
    "worker.backoff_base_ms": "50",
    "worker.backoff_cap_ms": "400",
    "worker.breaker_open_ms": "100",
    "worker.breaker_open_max_ms": "500",
    "worker.outbox_poll_ms": "200",
    "worker.metrics_listen": "127.0.0.1:0",
    "platform.timeout_ms": "3000",
    "kafka.session.timeout.ms": "6000",
    "kafka.heartbeat.interval.ms": "500",
}

# What a revision serves.
SERVICE = {
    "id": "web", "port": 8000, "ingress": {"public": True, "routes": [{"id": "all", "resume": True}]},
    "runtime": {"type": "cmd", "command": ["serve"]},
}  # fmt: skip

# Everything may be done at once: guards and graces are the matter of the tests that are about them.
RECONCILE = {
    "reconcile.mode": "repair",
    "reconcile.confirm_ms": "40",
    "reconcile.backoff_base_ms": "5",
    "reconcile.backoff_cap_ms": "50",
    "reconcile.calls_per_second": "0",
    "reconcile.max_acts": "1000000",
    "reconcile.max_acts_team": "1000000",
    "reconcile.max_share": "100",
    "reconcile.max_share_team": "100",
    "reconcile.min_acts": "1000000",
    "platform.timeout_ms": "3000",
}
CLASSES = [
    "unreleased", "missed_event", "stale_mapping", "ghost", "resurrected", "stuck_lease", "orphan_sandbox", "orphan_volume", "orphan_snapshot",
]  # fmt: skip


def graces(ms: int) -> dict[str, str]:
    """The same grace for every class."""
    return {f"reconcile.{name}_grace_ms": str(ms) for name in CLASSES}


@dataclass
class Reconciled:
    """What one run of `sandsweep reconcile` said, as JSON."""

    code: int
    findings: list[dict[str, Any]]
    summary: dict[str, Any]
    stderr: str

    @property
    def verdict(self) -> str:
        return self.summary["verdict"]

    def of(self, *ids: str) -> list[dict[str, Any]]:
        """The findings about these things."""
        return [f for f in self.findings if f["id"] in ids]

    def drift(self) -> list[dict[str, Any]]:
        """Findings that are past their grace and not only notes for people."""
        return [f for f in self.findings if f["action"] != "note" and f["verdict"] in ("proved", "unproved")]

    def done(self) -> set[str]:
        return {f["id"] for f in self.findings if f["result"] == "done"}


class Process:
    """One sandsweep process with its log in a file."""

    def __init__(self, house: House, name: str, args: list[str], env: Mapping[str, str]) -> None:
        self.name = name
        self.expected_codes = {0, -signal.SIGKILL}
        self.log_path = house.dir / f"{name}-{uuid.uuid4().hex[:6]}.log"
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(
                [str(BUILD / "sandsweep"), *args], env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def wait_log(self, text: str, timeout: float = 30) -> None:
        def seen() -> bool:
            if text in self.log:
                return True
            assert self.running(), f"{self.name} ended with {self.popen.returncode}:\n{self.log[-3000:]}"
            return False

        wait_until(seen, f"{self.name} to log {text!r}", timeout)

    def wait_exit(self, timeout: float = 30) -> int:
        return self.popen.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, now."""
        self.popen.kill()
        self.popen.wait(10)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM; returns the exit code."""
        if self.running():
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout} s:\n{self.log[-3000:]}") from None


@dataclass
class Revision:
    id: str
    number: int
    sandbox: str | None
    source_sandbox: str
    volumes: list[str] = field(default_factory=list)
    source_volumes: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)

    @property
    def ours(self) -> list[str]:
        return ([self.sandbox] if self.sandbox else []) + self.volumes + self.snapshots


@dataclass
class Function:
    id: str
    team: str
    slug: str
    revisions: list[Revision]

    @property
    def active(self) -> Revision:
        return self.revisions[-1]

    @property
    def ours(self) -> list[str]:
        return [thing for revision in self.revisions for thing in revision.ours]

    @property
    def users(self) -> list[str]:
        """What the user owns and nobody may delete."""
        return [t for r in self.revisions for t in [r.source_sandbox, *r.source_volumes]]


class House:
    """The processes of one deployment on a stack, and what to ask of it."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self.stack = stack
        self.dir = directory
        self.processes: list[Process] = []

    # -- processes

    def environ(self) -> dict[str, str]:
        env = self.stack.env
        return {
            "SANDSWEEP_POSTGRES_DSN": env["SANDSWEEP_PG_DSN"],
            "SANDSWEEP_KAFKA_BOOTSTRAP_SERVERS": env["KAFKA_BOOTSTRAP"],
            "SANDSWEEP_PLATFORM_URL": env.get("SIM_URL", "http://127.0.0.1:1"),
            "SANDSWEEP_PLATFORM_TOKEN": env.get("SIM_TOKEN", "none"),
        }

    def run(self, *args: str, check: bool = True, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs one command to its end."""
        done = subprocess.run(
            [str(BUILD / "sandsweep"), *args],
            env={**os.environ, **self.environ(), **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"sandsweep {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def _start(self, name: str, options: Mapping[str, str], args: list[str], kill_at: str | None) -> Process:
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        env = self.environ() | ({"SANDSWEEP_KILL": kill_at} if kill_at else {})
        process = Process(self, name, [*flags, *args], env)
        self.processes.append(process)
        return process

    def worker(self, options: Mapping[str, str] | None = None, *, kill_at: str | None = None, wait: bool = True, group: str | None = None) -> Process:
        """A worker; in a consumer group of its own unless `group` names one."""
        group_id = group or f"test-{uuid.uuid4().hex[:8]}"
        process = self._start("worker", {**QUICK, "kafka.group_id": group_id, **(options or {})}, ["worker"], kill_at)
        if wait:
            process.wait_log("worker.started")
        return process

    def api(self, options: Mapping[str, str] | None = None, *, kill_at: str | None = None) -> Api:
        ports = self.dir / f"ports-{uuid.uuid4().hex[:6]}"
        base = {"api.listen": "127.0.0.1:0", "api.metrics_listen": "127.0.0.1:0"}
        process = self._start("api", {**base, **(options or {})}, ["api", "--port-file", str(ports)], kill_at)

        def listening() -> bool:
            assert process.running(), f"api ended with {process.popen.returncode}:\n{process.log[-3000:]}"
            return ports.exists()

        wait_until(listening, "the api to listen")
        port, metrics_port = (int(word) for word in ports.read_text().split())
        return Api(self, process, port, metrics_port)

    def reconcile(self, *args: str, options: Mapping[str, str] | None = None, grace_ms: int = 0, kill_at: str | None = None) -> Reconciled:
        """One run to its end, whatever its verdict; the grace of every class is 0 unless told."""
        flags = [word for key, value in {**RECONCILE, **graces(grace_ms), **(options or {})}.items() for word in ("-o", f"{key}={value}")]
        done = self.run(*flags, "reconcile", *args, "--output", "json", check=False, env={"SANDSWEEP_KILL": kill_at} if kill_at else None)
        try:
            said = json.loads(done.stdout)
        except json.JSONDecodeError:
            said = {"findings": [], "summary": {}}
            assert done.returncode in (1, 7, 64, 65, 69, 78, -9), f"reconcile {args}: {done.returncode}, no JSON\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return Reconciled(done.returncode, said["findings"], said["summary"], done.stderr)

    def reconciling(self, *args: str, options: Mapping[str, str] | None = None, grace_ms: int = 0, kill_at: str | None = None) -> Process:
        """One run that goes on meanwhile; its JSON is in the log."""
        process = self._start("reconcile", {**RECONCILE, **graces(grace_ms), **(options or {})}, ["reconcile", *args, "--output", "json"], kill_at)
        process.expected_codes |= set(range(8)) | {-signal.SIGTERM}
        return process

    def stop(self) -> None:
        """Ends every process; one that does not end with 0 (unless a test killed it) is a failure: a crash,
        a sanitizer's finding, a leak."""
        ended = [(p, p.stop()) for p in self.processes]
        self.processes.clear()
        bad = [f"{p.name} ended with {code}:\n{p.log[-4000:]}" for p, code in ended if code not in p.expected_codes]
        assert not bad, "\n".join(bad)

    # -- functions and what belongs to them

    def function(self, team: str | None = None, *, revisions: int = 1, volumes: int = 1, mapped: bool = True, sim: Any = None) -> Function:
        """A function as a publish and a restore leave it: in Postgres, and on the platform where `sim` is given."""
        f = Function(str(uuid.uuid4()), team or str(uuid.uuid4()), f"fn-{uuid.uuid4().hex[:10]}", [])
        user = str(uuid.uuid4())
        self.stack.sql(
            "INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label, created_by) VALUES (%s,%s,%s,%s,%s,%s)",
            (f.id, f.team, f.slug.upper(), f.slug, f"{f.slug}-dl", user),
        )
        for number in range(1, revisions + 1):
            f.revisions.append(self.revision(f, number, volumes, mapped))
        self.stack.sql("UPDATE shared_gateway.functions SET active_revision_id = %s WHERE id = %s", (f.active.id, f.id))
        if sim is not None:
            self.seed(sim, [f])
        return f

    def revision(self, f: Function, number: int, volumes: int = 1, mapped: bool = True) -> Revision:
        tag = uuid.uuid4().hex[:12]
        r = Revision(str(uuid.uuid4()), number, f"sb-{tag}" if mapped else None, f"src-{tag}")
        mounts = []
        for i in range(volumes):
            r.volumes.append(f"vol-{tag}-{i}")
            r.source_volumes.append(f"srcvol-{tag}-{i}")
            r.snapshots.append(f"snap-{tag}-{i}")
            mounts.append({"sandboxvolume_id": r.volumes[i], "mount_point": f"/data{i}", "source_sandboxvolume_id": r.source_volumes[i], "snapshot_id": r.snapshots[i]})
        self.stack.sql(
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id,
                   source_service_id, source_template_id, restore_mounts, service_snapshot, created_by)
               VALUES (%s,%s,%s,%s,%s,'web','tpl',%s,%s,%s)""",
            (r.id, f.id, f.team, number, r.source_sandbox, json.dumps(mounts), json.dumps(SERVICE), str(uuid.uuid4())),
        )
        if mapped:
            self.map(r, r.sandbox)
        return r

    def map(self, revision: Revision, sandbox: str | None) -> None:
        """What a restore does at its end."""
        self.stack.sql(
            "UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s, runtime_context_id = 'ctx', runtime_updated_at = now() WHERE id = %s",
            (sandbox, revision.id),
        )

    def seed(self, sim: Any, functions: list[Function]) -> None:
        """Makes everything of these functions live on the platform, the users' own things too."""
        sandboxes, volumes, snapshots = [], [], []
        for f in functions:
            for r in f.revisions:
                mounts = [{"sandboxvolume_id": v, "mount_point": f"/data{i}"} for i, v in enumerate(r.volumes)]
                users = [{"sandboxvolume_id": v, "mount_point": f"/data{i}"} for i, v in enumerate(r.source_volumes)]
                sandboxes.append({"id": r.source_sandbox, "team_id": f.team, "template_id": "tpl", "mounts": users})
                if r.sandbox:
                    sandboxes.append({"id": r.sandbox, "team_id": f.team, "template_id": "tpl", "mounts": mounts})
                volumes += [{"id": v, "team_id": f.team} for v in r.volumes + r.source_volumes]
                snapshots += [{"id": s, "volume_id": v, "team_id": f.team, "name": f"function-{r.source_sandbox}"} for s, v in zip(r.snapshots, r.source_volumes)]
        sim.seed(sandboxes=sandboxes, volumes=volumes, snapshots=snapshots)

    # -- the ledger

    def states(self, ids: list[str]) -> dict[str, str]:
        rows = self.stack.sql("SELECT resource_id, state::text FROM sandsweep.owned_resources WHERE resource_id = ANY(%s)", (ids,))
        return dict(rows)

    def row(self, resource: str) -> dict[str, Any]:
        rows = self.stack.sql("SELECT row_to_json(o) FROM sandsweep.owned_resources o WHERE resource_id = %s", (resource,))
        assert len(rows) == 1, f"{resource}: {len(rows)} ledger rows"
        return rows[0][0]

    def wait_states(self, ids: list[str], want: str, timeout: float = 40) -> None:
        def there() -> bool:
            seen = self.states(ids)
            return len(seen) == len(set(ids)) and set(seen.values()) == {want}

        try:
            wait_until(there, f"{len(ids)} rows to be {want}", timeout)
        except AssertionError as failed:
            rows = [self.row(i) for i in ids if self.states([i]).get(i) != want][:3]
            logs = "\n".join(p.log[-1500:] for p in self.processes)
            raise AssertionError(f"{failed}\n{json.dumps(rows, indent=1)}\n{logs}") from None


class Api:
    """A running `sandsweep api`."""

    # Is told every answer: method, target, status, headers by lower-case name, parsed body.
    judge: ClassVar[Callable[[str, str, int, Mapping[str, str], Any], None] | None] = None

    def __init__(self, house: House, process: Process, port: int, metrics_port: int) -> None:
        self.house, self.process, self.port, self.metrics_port = house, process, port, metrics_port

    def key(self, team: str | None, permissions: str = "*", *extra: str) -> str:
        """A new API key of a team (None: scope platform)."""
        scope = ["--team", team] if team else ["--platform"]
        return self.house.run("keys", "create", *scope, "--permissions", permissions, *extra).stdout.split()[0]

    def request(self, method: str, path: str, key: str | None = None, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], Any]:
        """Returns (status, headers with lower-case names, parsed JSON or text)."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = dict(headers or {})
            if key:
                sent["Authorization"] = f"Bearer {key}"
            data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
            conn.request(method, path, body=data, headers=sent)
            answer = conn.getresponse()
            text = answer.read()
            got = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            conn.close()
        is_json = got.get("content-type", "").startswith("application/json")
        parsed = json.loads(text) if is_json and text else text.decode(errors="replace")
        if Api.judge:
            Api.judge(method, path, answer.status, got, parsed)
        return answer.status, got, parsed


def metric(port: int, name: str) -> float:
    """One value from a /metrics listener; `name` with its labels, as it stands there."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        conn.request("GET", "/metrics")
        text = conn.getresponse().read().decode()
    finally:
        conn.close()
    for line in text.splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


def metrics_port(process: Process) -> int:
    """Where a worker said that its metrics are."""
    text = process.log.split('metrics_port="', 1)[1]
    return int(text.split('"', 1)[0])


@contextlib.contextmanager
def holding(stack: Stack, *statements: str) -> Iterator[Any]:
    """A transaction that has run these statements and stays open meanwhile."""
    conn = stack.connect()
    conn.autocommit = False
    try:
        with conn.cursor() as cur:
            for statement in statements:
                cur.execute(statement)
            yield cur
    finally:
        conn.rollback()
        conn.close()


def every(seconds: float) -> Iterator[int]:
    """Counts up, with a pause between."""
    n = 0
    while True:
        yield n
        n += 1
        time.sleep(seconds)
