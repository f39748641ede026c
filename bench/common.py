"""What the benchmarks share: a stack that always goes down again, load generators, tables, figures."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("SANDSWEEP_BUILD", str(ROOT / "build"))
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from tests.support.house import House, Process, metric, metrics_port  # noqa: E402
from tests.support.sim import Sim  # noqa: E402
from tests.support.stack import Stack, StackError, wait_until  # noqa: E402

QUERIES = ROOT / "sql" / "queries"
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
FIGURE = "FIGURE"
T = TypeVar("T")

# The session options that sql/pg_common.c sets, so that pgbench runs under the same planner; where that takes
# a value from the configuration, this is the default of postgres.query_timeout_ms.
SESSION_OPTIONS = " ".join(
    f"-c {name}={'15000' if value.startswith('%') else value}"
    for name, value in re.findall(r"-c (\w+)=([\w.]+|%lld)", (ROOT / "sql" / "pg_common.c").read_text())
)
# What the API becomes, where the database knows it; it sees no rows but those of the transaction's team.
API_ROLE = "sandsweep_api"
# Java as on a small production node: both compilers, a heap that does not take the machine.
JAVA_OPTIONS = "-Xmx512m -XX:+UseSerialGC"


# ---- what a benchmark is asked, and what it says ----


def arguments(text: str | None, *, rounds: int, seconds: float, only: Sequence[str] = (), **more: int) -> argparse.Namespace:
    """--rounds and --seconds, and whatever sizes a benchmark has besides; where it has parts, which ones (`only`)."""
    fraction = float(os.environ.get("BENCH_FRACTION", "1"))
    parser = argparse.ArgumentParser(description=(text or "").strip().splitlines()[0])
    if only:
        parser.add_argument("only", nargs="*", metavar="PART", help=f"nothing but these: {', '.join(only)}")
    parser.add_argument("--rounds", type=int, default=max(1, round(rounds * fraction)), help="alternating rounds of each side (%(default)s)")
    parser.add_argument("--seconds", type=float, default=max(1, seconds * fraction) if seconds else seconds, help="length of a measurement (%(default)s)")
    for name, default in more.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help="%(default)s")
    args = parser.parse_args()
    if unknown := set(getattr(args, "only", ())) - set(only):
        parser.error(f"there is no {' '.join(sorted(unknown))}; there are: {', '.join(only)}")
    return args


def note(text: str) -> None:
    """Progress: seen on a terminal, no part of the result."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need; the first one left, the others right."""
    note("")
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print(f"\n{title}")
    for at, row in enumerate(cells):
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
        if at == 0:
            print("  " + "  ".join("-" * w for w in widths))
    sys.stdout.flush()


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for the README, which reads well as it is; bench/all shows it again at its end."""
    note("")
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    cells.insert(1, ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]])
    print()
    for row in cells:
        print("| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |")
    sys.stdout.flush()


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def figure(name: str, value: float, unit: str, target: float | None = None, *, at_most: bool = False) -> None:
    """The line that bench/all collects."""
    if target is None:
        print(f"{FIGURE} {name} {number(value)} {unit} target none, measured", flush=True)
        return
    met = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    print(f"{FIGURE} {name} {number(value)} {unit} target {sign} {number(target)}, {'met' if met else 'missed'}", flush=True)


median = statistics.median


def alternate(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Measures every side once in each round, in an order that turns around from round to round."""
    got: dict[str, list[T]] = {name: [] for name in sides}
    for i in range(rounds):
        for name in list(sides) if i % 2 == 0 else reversed(list(sides)):
            note(f"round {i + 1} of {rounds}: {name}")
            got[name].append(sides[name]())
    return got


def compare(title: str, unit: str, got: Mapping[str, list[float]], limit: str) -> dict[str, float]:
    """Prints medians, spreads and the ratio to the side named `limit`. Returns the medians."""
    medians = {name: median(values) for name, values in got.items()}
    rows = [
        (name, number(medians[name]), f"{number(min(values))}..{number(max(values))}", f"{medians[name] / medians[limit]:.2f}", len(values))
        for name, values in got.items()
    ]
    table(title, ("", f"median {unit}", "range", f"of {limit}", "rounds"), rows)
    return medians


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


# ---- the deployment that is measured ----


class Bench:
    """A stack with Postgres that really syncs, real Kafka and the simulator, and a house on it."""

    def __init__(self, stack: Stack, house: House, directory: Path) -> None:
        self.stack, self.house, self.dir = stack, house, directory
        env = stack.env
        self.sim = Sim(env["SIM_CONTROL_URL"], env["SIM_URL"], env["SIM_TOKEN"]) if "SIM_URL" in env else None

    # -- Postgres

    def sql(self, *statements: str) -> None:
        """Each in a transaction of its own; triggers and foreign keys do not fire (a copy of data)."""
        conn = self.stack.connect()
        try:
            with conn.cursor() as cur:
                cur.execute("SET session_replication_role = replica")
                for statement in statements:
                    cur.execute(statement)
        finally:
            conn.close()

    def settle(self) -> None:
        """The state that every measurement begins with: vacuumed, analyzed, nothing dirty."""
        self.sql(
            "VACUUM ANALYZE shared_gateway.functions", "VACUUM ANALYZE shared_gateway.functions_revisions",
            "VACUUM ANALYZE shared_gateway.functions_aliases", "VACUUM ANALYZE sandsweep.owned_resources",
            "VACUUM sandsweep.due", "VACUUM sandsweep.outbox", "CHECKPOINT",
        )  # fmt: skip

    @cached_property
    def confined(self) -> bool:
        """Whether the API works under a role of its own, for one team in each transaction."""
        return self.stack.sql("SELECT to_regrole(%s) IS NOT NULL", (API_ROLE,))[0][0]

    def session(self, team: str) -> str:
        """The options of our own sessions; where these name the team in each transaction, this names it once."""
        return SESSION_OPTIONS + (f" -c role={API_ROLE} -c sandsweep.team={team}" if self.confined else "")

    def pgbench(self, script: str, seconds: float, clients: int, variables: Mapping[str, str]) -> Rate:
        """Transactions of `script`, prepared, for the team of the variables."""
        path = self.dir / "pgbench.sql"
        path.write_text(script)
        env = self.stack.env
        done = subprocess.run(
            [PGBENCH, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds))), "-f", str(path)]
            + [word for name, value in variables.items() for word in ("-D", f"{name}={value}")],
            env={**os.environ, **{k: v for k, v in env.items() if k.startswith("PG")}, "PGOPTIONS": self.session(variables["team"])},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.M)
        count = re.search(r"actually processed: ([0-9]+)", done.stdout)
        failed = re.search(r"number of failed transactions: ([0-9]+)", done.stdout)
        assert done.returncode == 0 and found and count and failed and failed[1] == "0", done.stdout + done.stderr
        return Rate(int(count[1]), float(found[1]))

    # -- HTTP

    def wrk(self, url: str, script: str, *, seconds: float, connections: int, threads: int = 1, values: Mapping[str, object] | None = None) -> Wrk:
        """Runs wrk with a Lua script, which finds `values` as globals."""
        path = self.dir / "wrk.lua"
        head = "".join(f"{name} = {value if isinstance(value, (int, float)) else lua_text(str(value))}\n" for name, value in (values or {}).items())
        path.write_text(head + script + WRK_DONE)
        done = subprocess.run(
            ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(path), url],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        found = re.search(r"^WRK (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
        assert done.returncode == 0 and found, done.stdout + done.stderr
        requests, us, errors, broken = (int(word) for word in found.groups())
        return Wrk(requests, requests / (us / 1e6), errors, broken)

    def pace(self, port: int, requests: Sequence[str], rate: int, connections: int) -> Paced:
        """Sends these whole requests at their times, `rate` a second, however long the answers take."""
        path = self.dir / "pace.requests"
        path.write_text("".join(f"{len(text)}\n{text}" for text in requests))
        program = Path(os.environ["SANDSWEEP_BUILD"]) / "bench-pace"
        done = subprocess.run([program, str(port), str(rate), str(connections), path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        lines = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
        wrong = sum(not 200 <= status < 300 for status, _ in lines)
        assert len(lines) == len(requests) and wrong == 0, f"{wrong} of {len(lines)} answers are no success"
        return Paced(*(percentile([us / 1000 for _, us in lines], p) for p in (50, 99)))

    # -- Kafka

    def worker(self, options: Mapping[str, str]) -> Process:
        """A worker with the settings of production, but for `options`; not with the short waits of tests."""
        settings = {"worker.metrics_listen": "127.0.0.1:0", "kafka.group_id": "bench", "worker.budget_per_hour": "1000000000", **options}
        flags = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        process = Process(self.house, "worker", [*flags, "worker"], self.house.environ())
        self.house.processes.append(process)
        process.wait_log("worker.started")
        return process

    def stop(self, process: Process) -> None:
        process.stop(30)
        self.house.processes.remove(process)


@dataclass
class Rate:
    count: int
    per_second: float


@dataclass
class Paced:
    """Milliseconds from when a request was due to the end of its answer."""

    p50: float
    p99: float


@dataclass
class Wrk:
    requests: int
    per_second: float
    errors: int  # answered with 400 or more
    broken: int  # connections and time-outs


WRK_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("WRK %d %d %d %d", summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def lua_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'


@contextmanager
def bench(*, kafka: str = "real", sim: bool = True, partitions: int = 4, environ: Mapping[str, str] | None = None) -> Iterator[Bench]:
    """Everything up, migrated, with topics; and everything down at the end, whatever ended it."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    settings = {"STACK_BUILD": os.environ["SANDSWEEP_BUILD"], "STACK_FSYNC": "on", "STACK_JAVA_OPTS": JAVA_OPTIONS, **(environ or {})}
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sandsweep-bench-", dir="/tmp")))
        directory.chmod(0o755)  # the user postgres must get in
        stack = Stack(directory / "stack", kafka=kafka, sim=sim, environ=settings)  # type: ignore[arg-type]
        house = House(stack, directory)
        cleanup.callback(stack.down)
        cleanup.callback(house.stop)
        cleanup.callback(_uninterrupted)
        note("starting the stack")
        try:
            stack.up()
            house.run("migrate", "up")
            house.run("-o", f"kafka.partitions={partitions}", "topics", "create")
            yield Bench(stack, house, directory)
        except (AssertionError, StackError, subprocess.SubprocessError):
            for process in house.processes:
                print(f"--- {process.name}\n{process.log[-3000:]}", file=sys.stderr)
            raise
        finally:
            note("")


def _interrupt(signum: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _uninterrupted() -> None:
    """A second Ctrl-C must not leave half of the stack running."""
    for number_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_, signal.SIG_IGN)


def run(main: Callable[[], None]) -> None:
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)


# ---- functions, sandboxes, events ----


def query(name: str, parameters: Sequence[str]) -> str:
    """The text of sql/queries/NAME.sql without its comments, $1, $2, ... replaced."""
    text = "\n".join(line.split("--")[0].rstrip() for line in (QUERIES / f"{name}.sql").read_text().splitlines())
    taken = {int(n) for n in re.findall(r"\$(\d+)", text)}
    assert taken == set(range(1, len(parameters) + 1)), f"{name}.sql has the parameters {sorted(taken)}, not {len(parameters)} of them"
    # pgbench would take :MI of a date's format for a variable.
    text = re.sub(r"'[^'\\]*'", lambda m: "E" + m[0].replace(":", r"\072") if ":" in m[0] else m[0], text)
    return re.sub(r"\$(\d+)", lambda m: parameters[int(m[1]) - 1], text).strip() + ";\n"


def uuid_sql(kind: str, number_: str) -> str:
    """A UUID of the thing with this number: always the same one, scattered like a random one."""
    return f"md5('{kind}' || {number_})::uuid"


def team_sql(function: str, functions: int, teams: int) -> str:
    return uuid_sql("team", f"(({function} - 1) * {teams} / {functions})")


def fill_functions(bench_: Bench, functions: int, teams: int, mapped: bool, service: str = "{}") -> None:
    """Functions with slugs 1..N, each with one revision; where `mapped`, served by a sandbox in use."""
    team = team_sql("n", functions, teams)
    bench_.sql(
        "TRUNCATE shared_gateway.functions, shared_gateway.functions_revisions, shared_gateway.functions_aliases, sandsweep.owned_resources, sandsweep.due, sandsweep.outbox, sandsweep.audit_log",
        f"""INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label, active_revision_id)
            SELECT {uuid_sql('function', 'n')}, {team}, 'Function ' || n, n::text, 'label-' || n, {uuid_sql('revision', 'n')}
            FROM generate_series(1, {functions}) n""",
        f"""INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id,
                source_service_id, source_template_id, service_snapshot, runtime_sandbox_id, runtime_context_id, runtime_updated_at)
            SELECT {uuid_sql('revision', 'n')}, {uuid_sql('function', 'n')}, {team}, 1, 'source-' || n, 'web', 'default', '{service}',
                   {"'sandbox-' || lpad(n::text, 8, '0'), 'context-' || n, now()" if mapped else "NULL, NULL, NULL"}
            FROM generate_series(1, {functions}) n""",
    )
    if mapped:
        bench_.sql(
            f"""INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id)
                SELECT 'sandbox', 'sandbox-' || lpad(n::text, 8, '0'), {team}, {uuid_sql('function', 'n')}, {uuid_sql('revision', 'n')}
                FROM generate_series(1, {functions}) n"""
        )


@dataclass
class Backlog:
    """`count` released sandboxes sb-00000000... of functions 1..functions, of teams 0..teams-1, in equal parts."""

    count: int
    functions: int
    teams: int

    def __post_init__(self) -> None:
        self.each = self.count // self.functions
        assert self.count % self.functions == 0 and self.functions % self.teams == 0

    def fill(self, bench_: Bench) -> None:
        """The ledger, the platform and the topic hold all of it; nobody works on it yet."""
        fill_functions(bench_, self.functions, self.teams, mapped=False)
        function = f"(1 + n / {self.each})"
        bench_.sql(
            f"""INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id, state, released_at, release_reason)
                SELECT 'sandbox', 'sb-' || lpad(n::text, 8, '0'), {team_sql(function, self.functions, self.teams)},
                       {uuid_sql('function', function)}, {uuid_sql('revision', function)}, 'released', now(), 'recycled'
                FROM generate_series(0, {self.count - 1}) n"""
        )
        bench_.settle()
        part = self.count // self.teams
        for team in range(self.teams):
            bench_.sim.seed_range(uuid_text("team", team), "sb-", part, start=team * part)
        bench_.stack.kcat_produce_many("sandsweep.events", self.events())

    def events(self) -> Iterator[tuple[str, str]]:
        """One event in structured mode for every sandbox, as (key, value); the functions take turns."""
        names = [
            (uuid_text("function", f), uuid_text("revision", f), uuid_text("team", (f - 1) * self.teams // self.functions))
            for f in range(1, self.functions + 1)
        ]
        for i in range(self.each):
            for at, (function, revision, team) in enumerate(names):
                n = at * self.each + i
                yield function, (
                    f'{{"specversion":"1.0","id":"{uuid_text("event", n)}","source":"/bench","type":"io.sandsweep.runtime.recycled",'
                    f'"datacontenttype":"application/json","data":{{"team_id":"{team}","function_id":"{function}",'
                    f'"revision_id":"{revision}","sandbox_id":"sb-{n:08d}"}}}}'
                )


def uuid_text(kind: str, n: int) -> str:
    """What uuid_sql() is in the database."""
    return str(uuid.UUID(hashlib.md5(f"{kind}{n}".encode()).hexdigest()))


def machine() -> str:
    """Cores, CPU and the versions of what takes part."""

    def first(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return (done.stdout or done.stderr).splitlines()[0] if done.stdout or done.stderr else "?"

    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown CPU")
    postgres = first("/usr/lib/postgresql/15/bin/postgres", "--version").split(") ")[-1].split(" (")[0]
    kafka = re.search(r"<kafka.version>(.*)</kafka.version>", (ROOT / "scripts" / "kafka-pom.xml").read_text())
    wrk = first("wrk", "-v").split(" ")[1]
    return (
        f"{os.cpu_count()} cores of {cpu}, Linux {os.uname().release}, PostgreSQL {postgres}, "
        f"Apache Kafka {kafka[1] if kafka else '?'}, wrk {wrk}; load average before: {os.getloadavg()[0]:.1f}"
    )


__all__ = [
    "Backlog", "Bench", "FIGURE", "House", "Paced", "Process", "ROOT", "Rate", "Sim", "Wrk", "alternate", "arguments", "bench", "compare",
    "figure", "fill_functions", "machine", "markdown", "median", "metric", "metrics_port", "note", "number", "percentile", "query", "run",
    "table", "uuid_sql", "uuid_text", "wait_until", "time",
]  # fmt: skip
