"""Under whose rights the programs work: logins of every make, on a cluster in which nobody is a superuser but the
one who sets the stage."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import pytest

from tests.support.house import BUILD, House, Process
from tests.support.sim import Sim
from tests.support.stack import Stack, logged_in

ROLES = ["sandsweep_api", "sandsweep_worker", "sandsweep_reconcile"]


class Apart(House):
    """A deployment in which each command has a login of its own."""

    def __init__(self, stack: Stack, directory: Path, logins: Mapping[str, str]) -> None:
        super().__init__(stack, directory)
        self.logins = logins

    def dsn(self, args: tuple[str, ...] | list[str]) -> str:
        user = next(self.logins[word] for word in args if word in self.logins)
        return logged_in(self.stack, user=user).env["SANDSWEEP_PG_DSN"]

    def run(self, *args: str, check: bool = True, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return super().run(*args, check=check, env={"SANDSWEEP_POSTGRES_DSN": self.dsn(args), **(env or {})})

    def _start(self, name: str, options: Mapping[str, str], args: list[str], kill_at: str | None) -> Process:
        return super()._start(name, {**options, "postgres.dsn": self.dsn(args)}, args, kill_at)


COMMANDS = ["migrate", "keys", "api", "worker", "targets", "reconcile", "explain"]


def everything_as(user: str) -> dict[str, str]:
    return {command: user for command in COMMANDS}


@pytest.fixture(scope="module")
def _cluster() -> Iterator[Stack]:
    with Stack(kafka="mock", environ={"STACK_BUILD": str(BUILD)}) as running:
        yield running


@pytest.fixture
def cluster(_cluster: Stack) -> Iterator[Stack]:
    """One of this module's own, in which no role of ours exists when a test begins."""
    yield _cluster
    for (name,) in _cluster.sql("SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template.|sandsweep)$'"):
        _cluster.sql(f"DROP DATABASE {name} WITH (FORCE)")
    for (name,) in _cluster.sql("SELECT rolname FROM pg_roles WHERE rolname <> current_user AND rolname NOT LIKE 'pg\\_%'"):
        _cluster.sql(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def sim(cluster: Stack) -> Iterator[Sim]:
    env = cluster.env
    sim = Sim(env["SIM_CONTROL_URL"], env["SIM_URL"], env["SIM_TOKEN"])
    sim.reset()
    sim.settings(finalizer_ms=200, mount_linger_ms=200)
    yield sim
    sim.close()


def owned(cluster: Stack, name: str, login: str, attributes: str = "") -> Stack:
    """A new database that belongs to a new login, as it is seen by the superuser."""
    cluster.sql(f"CREATE ROLE {login} LOGIN {attributes}")
    cluster.sql(f"CREATE DATABASE {name} OWNER {login}")
    return logged_in(cluster, database=name)


def drive(house: House, sim: Sim) -> None:
    """Everything that Sandsweep is for: recycled, disabled, deleted, and found adrift."""
    house.worker()
    api = house.api()
    f, disabled, deleted = house.function(revisions=2, sim=sim), house.function(sim=sim), house.function(revisions=2, volumes=2, sim=sim)
    key = api.key(f.team)
    assert api.request("POST", f"/api/v1/functions/{f.slug}/runtime/recycle", key)[0] == 200
    assert api.request("PUT", f"/api/v1/functions/{disabled.id}", api.key(disabled.team), {"enabled": False})[0] == 200
    assert api.request("DELETE", f"/api/v1/functions/{deleted.id}", api.key(deleted.team))[0] == 200
    house.wait_states([f.active.sandbox, disabled.active.sandbox, *deleted.ours], "gone")
    # A mapping of what is not there, and a sandbox for which no event ever came.
    stale, missed = house.function(team=f.team), house.function(team=f.team, sim=sim)
    house.map(missed.active, None)
    run = house.reconcile()
    assert run.verdict == "repaired" and {stale.active.sandbox, missed.active.sandbox} <= run.done(), (run.code, run.summary, [f for f in run.findings if f["result"] != "done"])
    house.wait_states([stale.active.sandbox, missed.active.sandbox], "gone")
    assert house.reconcile().verdict == "in_sync"
    # What people ask.
    assert "is ours" in house.run("explain", f.active.sandbox).stdout
    assert str(run.summary["run_id"]) in house.run("reconcile", "history").stdout
    assert f.active.sandbox in house.run("targets", "list", "--team", f.team).stdout
    assert f.team in house.run("keys", "list").stdout
    # What is old is forgotten, with all that hangs on it.
    house.stack.sql("UPDATE sandsweep.reconcile_runs SET finished_at = finished_at - interval '10 years'")
    house.reconcile()
    assert house.stack.sql("SELECT count(*) FROM sandsweep.reconcile_findings WHERE run_id = %s", (run.summary["run_id"],)) == [(0,)]
    sim.assert_never_deleted(f.users + disabled.users + deleted.users + missed.users)
    for process in house.processes:
        assert "permission denied" not in process.log and "row-level security" not in process.log, process.log[-3000:]


# ---- logins ----


def test_one_login_for_everything(cluster: Stack, sim: Sim, tmp_path: Path) -> None:
    """The owner of the schema, who may create roles: it becomes a member of each, and every program confines
    itself."""
    own = owned(cluster, "one", "keeper", "CREATEROLE")
    house = Apart(own, tmp_path, everything_as("keeper"))
    house.run("migrate", "up")
    try:
        drive(house, sim)
        used = own.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'sandsweep' AND datname = 'one'")
        assert used == [("keeper",)]
    finally:
        house.stop()


def test_the_owner_stands_outside_the_rule_of_the_api(cluster: Stack, tmp_path: Path) -> None:
    """Though it inherits from sandsweep_api: its triggers must see the function tables as they are."""
    own = owned(cluster, "one", "keeper", "CREATEROLE")
    house = Apart(own, tmp_path, everything_as("keeper"))
    house.run("migrate", "up")
    f, other = house.function(), house.function()
    keeper = logged_in(own, user="keeper")
    assert keeper.sql("SELECT pg_has_role('sandsweep_api', 'USAGE'), (SELECT count(*) FROM shared_gateway.functions)") == [(True, 2)]
    keeper.sql("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s WHERE id = %s", (other.active.source_sandbox, f.active.id))
    assert house.states([f.active.sandbox, other.active.source_sandbox]) == {f.active.sandbox: "released"}


LOGINS = {
    "migrate": "sandsweep_migrate", "keys": "sandsweep_migrate", "api": "front", "worker": "cleaner", "targets": "cleaner",
    "reconcile": "checker", "explain": "checker",
}  # fmt: skip


def apart(cluster: Stack, directory: Path) -> Apart:
    """As the handbook says it: a login for each program, which has nothing of itself."""
    own = owned(cluster, "apart", "sandsweep_migrate")
    cluster.sql("CREATE ROLE sandsweep_api; CREATE ROLE sandsweep_worker; CREATE ROLE sandsweep_reconcile")
    for login, role in {"front": "sandsweep_api", "cleaner": "sandsweep_worker", "checker": "sandsweep_reconcile"}.items():
        cluster.sql(f"CREATE ROLE {login} LOGIN NOINHERIT; GRANT {role} TO {login}")
    house = Apart(own, directory, LOGINS)
    house.run("migrate", "up")
    return house


def test_a_login_for_each(cluster: Stack, sim: Sim, tmp_path: Path) -> None:
    house = apart(cluster, tmp_path)
    try:
        drive(house, sim)
        used = house.stack.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'sandsweep' AND datname = 'apart' ORDER BY 1")
        assert used == [("cleaner",), ("front",)]
    finally:
        house.stop()


@pytest.mark.parametrize("command, login", [(["api"], "cleaner"), (["worker"], "front"), (["targets", "list"], "checker"), (["explain", "x"], "front"), (["reconcile", "--dry-run"], "cleaner")])
def test_another_programs_login(cluster: Stack, tmp_path: Path, command: list[str], login: str) -> None:
    house = apart(cluster, tmp_path)
    house.logins = everything_as(login)
    done = house.run(*command, check=False)
    role = {"api": "sandsweep_api", "worker": "sandsweep_worker", "targets": "sandsweep_worker"}.get(command[0], "sandsweep_reconcile")
    said = f"sandsweep {command[0]}: the login {login} may not become the role {role}; let a database administrator run GRANT {role} TO {login}"
    assert done.returncode == 78 and done.stderr.strip().splitlines()[-1] == said


@pytest.mark.parametrize("login", ["front", "cleaner", "checker"])
def test_keys_are_the_owners(cluster: Stack, tmp_path: Path, login: str) -> None:
    house = apart(cluster, tmp_path)
    cluster.sql(f"ALTER ROLE {login} INHERIT")
    house.logins = everything_as(login)
    done = house.run("keys", "create", "--platform", check=False)
    assert done.returncode == 78 and "only the owner of the schema sees and makes API keys" in done.stderr
    assert house.stack.sql("SELECT count(*) FROM sandsweep.api_keys") == [(0,)]


def test_a_login_that_is_a_role(cluster: Stack, tmp_path: Path) -> None:
    """Whoever has made the roles logins needs nothing else."""
    house = apart(cluster, tmp_path)
    cluster.sql("ALTER ROLE sandsweep_worker LOGIN")
    house.logins = everything_as("sandsweep_worker")
    house.run("targets", "list")


def test_a_new_owner(cluster: Stack, sim: Sim, tmp_path: Path) -> None:
    house = apart(cluster, tmp_path)
    cluster.sql("CREATE ROLE successor LOGIN")
    house.stack.sql("REASSIGN OWNED BY sandsweep_migrate TO successor")
    logged_in(house.stack, user="successor").sql("SELECT sandsweep.keep_tenants_apart()")
    house.stack.sql("DROP OWNED BY sandsweep_migrate")
    house.logins = {**LOGINS, "migrate": "successor", "keys": "successor"}
    try:
        drive(house, sim)
    finally:
        house.stop()


# ---- migrating ----


def test_who_may_not_create_roles_is_told_who_must(cluster: Stack, tmp_path: Path) -> None:
    """What is said to be run is what helps: here it is run, each time as it stands there."""
    own = owned(cluster, "poor", "keeper")
    house = Apart(own, tmp_path, everything_as("keeper"))
    done = house.run("migrate", "up", check=False)
    said = re.search(r'keeper may not create roles: let a database administrator run "([^"]+)", and migrate again$', done.stderr.strip())
    assert done.returncode == 1 and said, done
    assert said[1] == "; ".join(f"CREATE ROLE {role}" for role in ROLES)
    assert own.sql("SELECT to_regprocedure('sandsweep.keep_tenants_apart()')") == [(None,)]
    cluster.sql(said[1])
    house.run("migrate", "up")
    done = house.run("targets", "list", check=False)
    said = re.search(r"let a database administrator run (GRANT sandsweep_worker TO keeper)$", done.stderr.strip())
    assert done.returncode == 78 and said, done
    cluster.sql(said[1])
    house.run("targets", "list")


def test_a_database_that_is_not_for_everybody(cluster: Stack, tmp_path: Path) -> None:
    """A run keeps its listings in temporary tables. Where that was taken from PUBLIC, the owner of the database
    gives it, or is asked to."""
    own = owned(cluster, "closed", "keeper", "CREATEROLE")
    own.sql("REVOKE TEMPORARY ON DATABASE closed FROM PUBLIC; ALTER DATABASE closed OWNER TO CURRENT_USER; GRANT CREATE ON DATABASE closed TO keeper")
    house = Apart(own, tmp_path, everything_as("keeper"))
    done = house.run("migrate", "up", check=False)
    said = re.search(r'let the owner of the database run "(GRANT TEMPORARY ON DATABASE closed TO sandsweep_reconcile)", and migrate again$', done.stderr.strip())
    assert done.returncode == 1 and said, done
    own.sql("CREATE ROLE sandsweep_reconcile; " + said[1])  # the migration was undone, and the role with it
    house.run("migrate", "up")
    owned(cluster, "closed_too", "other", "CREATEROLE").sql("REVOKE TEMPORARY ON DATABASE closed_too FROM PUBLIC")
    other = Apart(logged_in(cluster, database="closed_too"), tmp_path, everything_as("other"))
    other.run("migrate", "up")
    assert other.stack.sql("SELECT has_database_privilege('sandsweep_reconcile', 'closed_too', 'TEMPORARY'), has_database_privilege('sandsweep_api', 'closed_too', 'TEMPORARY')") == [(True, False)]


def test_databases_of_one_cluster_migrate_at_once(cluster: Stack, tmp_path: Path) -> None:
    cluster.sql("CREATE ROLE keeper LOGIN CREATEROLE")
    names = [f"many_{n}" for n in range(4)]
    for name in names:
        cluster.sql(f"CREATE DATABASE {name} OWNER keeper")
    done: list[subprocess.CompletedProcess[str]] = []
    houses = [Apart(logged_in(cluster, database=name), tmp_path, everything_as("keeper")) for name in names]
    threads = [threading.Thread(target=lambda h=h: done.append(h.run("migrate", "up", check=False))) for h in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [d.returncode for d in done] == [0] * len(names), [d.stderr for d in done]
    for house in houses:
        house.run("targets", "list")


def test_a_service_before_the_migration(cluster: Stack, tmp_path: Path) -> None:
    own = owned(cluster, "early", "keeper", "CREATEROLE")
    house = Apart(own, tmp_path, everything_as("keeper"))
    done = house.run("api", check=False)
    assert done.returncode == 65 and "PostgreSQL does not know the role sandsweep_api yet; run `sandsweep migrate up`" in done.stderr
    # The roles are there, from another database of the cluster; this one is of an older version, or empty.
    cluster.sql("CREATE ROLE sandsweep_api; GRANT sandsweep_api TO keeper")
    done = house.run("api", check=False)
    assert done.returncode == 65 and "older than this program" in done.stderr
    logged_in(own, user="keeper").sql("CREATE SCHEMA sandsweep; CREATE TABLE sandsweep.schema_migrations (version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
    done = house.run("api", check=False)
    assert done.returncode == 65 and "does not let this login or role see its version; run `sandsweep migrate up`" in done.stderr
    house.run("migrate", "up")
    house.api().process.stop()


# ---- others who use the function tables ----


@pytest.fixture
def shared(cluster: Stack, tmp_path: Path) -> Iterator[Apart]:
    """The function tables belong to a service that was there before, and are used by more of its logins; who
    migrates is a member of their owner."""
    own = owned(cluster, "shared", "keeper", "CREATEROLE")
    cluster.sql("CREATE ROLE gateway_owner LOGIN; GRANT gateway_owner TO keeper; CREATE ROLE gateway LOGIN; CREATE ROLE gateway_reader LOGIN")
    house = Apart(own, tmp_path, everything_as("keeper"))
    own.sql("CREATE SCHEMA shared_gateway AUTHORIZATION gateway_owner")
    own.sql((Path(__file__).parent / "old_tables.sql").read_text().replace("CREATE SCHEMA shared_gateway;", "SET ROLE gateway_owner;"))
    own.sql("""GRANT USAGE ON SCHEMA shared_gateway TO gateway, gateway_reader; GRANT SELECT ON ALL TABLES IN SCHEMA shared_gateway TO gateway_reader;
               GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shared_gateway TO gateway""")
    yield house
    house.stop()


def test_who_else_uses_the_function_tables_sees_no_change(shared: Apart, cluster: Stack, sim: Sim) -> None:
    shared.run("migrate", "up")
    functions = [shared.function(sim=sim) for _ in range(3)]
    count = "SELECT (SELECT count(*) FROM shared_gateway.functions), (SELECT count(*) FROM shared_gateway.functions_revisions)"
    for login in ("gateway_owner", "gateway", "gateway_reader"):
        assert logged_in(shared.stack, user=login).sql(count) == [(3, 3)], login
    gateway = logged_in(shared.stack, user="gateway")
    gateway.sql("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = NULL WHERE id = %s", (functions[0].active.id,))
    gateway.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (functions[1].id,))
    gateway.sql("DELETE FROM shared_gateway.functions WHERE id = %s", (functions[2].id,))
    assert shared.states([f.active.sandbox for f in functions]) == {f.active.sandbox: "released" for f in functions}
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        gateway.sql("SELECT FROM sandsweep.owned_resources")
    drive(shared, sim)


def pg_dump(stack: Stack, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["pg_dump", "-d", stack.env["SANDSWEEP_PG_DSN"], "--data-only", "--inserts", *args], capture_output=True, text=True, timeout=60)


def test_dumps(shared: Apart) -> None:
    """The owner of the function tables dumps them as before; of ours, the owner dumps all that there is, when it
    says that it knows of the rule."""
    shared.run("migrate", "up")
    functions = [shared.function() for _ in range(3)]
    done = pg_dump(logged_in(shared.stack, user="gateway_owner"), "-n", "shared_gateway")
    assert done.returncode == 0 and all(f.id in done.stdout for f in functions), done.stderr
    keeper = logged_in(shared.stack, user="keeper")
    assert "row-level security" in pg_dump(keeper, "-n", "sandsweep").stderr
    done = pg_dump(keeper, "--enable-row-security")
    assert done.returncode == 0 and all(f.id in done.stdout and f.active.sandbox in done.stdout for f in functions), done.stderr


@pytest.mark.parametrize("theirs", ["ALTER TABLE shared_gateway.functions ENABLE ROW LEVEL SECURITY", "CREATE POLICY x ON shared_gateway.functions_revisions"])
def test_row_level_security_of_another_service_is_not_undone(shared: Apart, theirs: str) -> None:
    shared.stack.sql(theirs)
    done = shared.run("migrate", "up", check=False)
    assert done.returncode == 1 and "has row-level security of another service" in done.stderr and "(tenants) failed and was undone" in done.stderr


# ---- poolers ----


@contextlib.contextmanager
def pooler(stack: Stack) -> Iterator[int]:
    """Something between us and PostgreSQL that drops the options of a connection, as some are told to. Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve(client: socket.socket) -> None:
            with client, client.makefile("rb") as reader:
                (size,) = struct.unpack("!I", reader.read(4))
                words = reader.read(size - 4)[4:].split(b"\0")
                pairs = [pair for pair in zip(words[::2], words[1::2]) if pair[0] and pair[0] != b"options"]
                body = struct.pack("!I", 3 << 16) + b"".join(key + b"\0" + value + b"\0" for key, value in pairs) + b"\0"
                with socket.create_connection(("127.0.0.1", int(stack.env["PGPORT"]))) as server:
                    server.sendall(struct.pack("!I", len(body) + 4) + body)
                    back = threading.Thread(target=pump, args=(server, client))
                    back.start()
                    pump(client, server)
                    back.join()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],)).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_options_that_get_lost(cluster: Stack, tmp_path: Path) -> None:
    """A service that did not get its role does not start: it would work with whatever rights the login has."""
    house = apart(cluster, tmp_path)
    cluster.sql("ALTER ROLE cleaner INHERIT")
    with pooler(cluster) as port:
        dsn = f"host=127.0.0.1 port={port} user=cleaner dbname=apart sslmode=disable gssencmode=disable"
        done = house.run("targets", "list", check=False, env={"SANDSWEEP_POSTGRES_DSN": dsn})
        said = re.search(r"did not become the role sandsweep_worker, as if a pooler had dropped its options; run (ALTER ROLE cleaner SET role = sandsweep_worker)$", done.stderr.strip())
        assert done.returncode == 78 and said, done
        cluster.sql(said[1])
        house.run("targets", "list", env={"SANDSWEEP_POSTGRES_DSN": dsn})
