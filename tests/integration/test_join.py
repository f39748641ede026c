"""Joining a database in which the platform's gateway has kept its functions before Sandsweep came."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.support.house import House
from tests.support.stack import Stack

OLD_TABLES = (Path(__file__).parent / "old_tables.sql").read_text()
TEAM = str(uuid.uuid4())


@pytest.fixture
def old(stack: Stack) -> Iterator[tuple[Any, dict[str, str]]]:
    """A database with the old tables; a cursor on it, and the environment that names it."""
    name = f"old_{uuid.uuid4().hex[:8]}"
    stack.sql(f"CREATE DATABASE {name}")
    dsn = stack.env["SANDSWEEP_PG_DSN"].replace("dbname=sandsweep", f"dbname={name}")
    conn = psycopg2.connect(dsn)
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute(OLD_TABLES)
        yield cur, {"SANDSWEEP_POSTGRES_DSN": dsn}
    conn.close()
    stack.sql(f"DROP DATABASE {name}")


def revision(cur: Any, name: str, sandbox: str | None, *, deleted: bool = False, source: str | None = None) -> None:
    function = str(uuid.uuid4())
    cur.execute("INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label, deleted_at) VALUES (%s,%s,%s,%s,%s,%s)",
                (function, TEAM, name, name, name, "2026-01-01" if deleted else None))
    mounts = f'[{{"sandboxvolume_id": "vol-{name}", "mount_point": "/d", "source_sandboxvolume_id": "srcvol-{name}", "snapshot_id": "snap-{name}"}}]'
    cur.execute("""INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                       source_template_id, restore_mounts, service_snapshot, runtime_sandbox_id) VALUES (gen_random_uuid(),%s,%s,1,%s,'s','t',%s,'{}',%s)""",
                (function, TEAM, source or f"src-{name}", mounts, sandbox))


def test_an_old_database_is_written_down(house: House, old: tuple[Any, dict[str, str]]) -> None:
    cur, env = old
    revision(cur, "live", "sb-live")
    revision(cur, "idle", None)
    revision(cur, "left-behind", "sb-left", deleted=True)  # what a crashed cleanup left
    revision(cur, "from-source", "src-self", source="src-self")  # served by its own source
    house.run("migrate", "up", env=env)
    house.run("migrate", "verify", env=env)
    cur.execute("SELECT resource_id, state::text FROM sandsweep.owned_resources")
    assert dict(cur.fetchall()) == {
        "sb-live": "in_use", "vol-live": "in_use", "snap-live": "in_use",
        "vol-idle": "in_use", "snap-idle": "in_use",
        "sb-left": "released", "vol-left-behind": "released", "snap-left-behind": "released",
        "vol-from-source": "in_use", "snap-from-source": "in_use",
    }
    cur.execute("SELECT count(*) FROM shared_gateway.functions WHERE autoscaling ->> 'max_active' = '20'")
    assert cur.fetchone() == (4,)
    cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = NULL WHERE runtime_sandbox_id = 'sb-live'")
    cur.execute("SELECT state::text FROM sandsweep.owned_resources WHERE resource_id = 'sb-live'")
    assert cur.fetchone() == ("released",)


def test_migrating_twice_and_at_once(house: House, old: tuple[Any, dict[str, str]]) -> None:
    """Three at once: one applies, the others wait and find it done."""
    import threading

    _, env = old
    outcomes: list[int] = []
    threads = [threading.Thread(target=lambda: outcomes.append(house.run("migrate", "up", env=env, check=False).returncode)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [0, 0, 0]
    assert "up to date" in house.run("migrate", "up", env=env).stdout


def test_a_failed_migration_is_undone(house: House, old: tuple[Any, dict[str, str]]) -> None:
    cur, env = old
    cur.execute("CREATE SCHEMA sandsweep; CREATE TABLE sandsweep.outbox (x int)")  # in the way of migration 3
    done = house.run("migrate", "up", env=env, check=False)
    assert done.returncode != 0 and "migration 3 (pipeline) failed and was undone" in done.stderr
    status = house.run("migrate", "status", env=env, check=False)
    assert status.returncode == 65 and "0003 pipeline                 missing" in status.stdout
    cur.execute("SELECT to_regclass('sandsweep.api_keys')")
    assert cur.fetchone() == (None,)
    cur.execute("DROP TABLE sandsweep.outbox")
    house.run("migrate", "up", env=env)


def test_the_gateways_role_needs_no_rights_on_ours(house: House, old: tuple[Any, dict[str, str]]) -> None:
    """The service that shares the tables writes them as before; the triggers run with their owner's rights."""
    cur, env = old
    revision(cur, "live", "sb-live")
    house.run("migrate", "up", env=env)
    role = f"gateway_{uuid.uuid4().hex[:8]}"
    cur.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA shared_gateway TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA shared_gateway TO {role}")
    cur.execute(f"SET ROLE {role}")
    revision(cur, "theirs", None)
    cur.execute("UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = 'sb-next' WHERE runtime_sandbox_id = 'sb-live'")
    cur.execute("UPDATE shared_gateway.functions SET deleted_at = now() WHERE slug = 'theirs'")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cur.execute("SELECT * FROM sandsweep.owned_resources")
    cur.execute("RESET ROLE")
    cur.execute("SELECT resource_id, state::text FROM sandsweep.owned_resources")
    states = dict(cur.fetchall())
    assert (states["sb-live"], states["sb-next"], states["vol-theirs"]) == ("released", "in_use", "released")
    cur.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
