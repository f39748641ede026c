"""The ledger in Postgres: births, releases, the state machine, S3, and plans that stay index ranges."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from tests.support.house import House, holding
from tests.support.stack import ROOT, Stack, wait_until

STATES = ["in_use", "released", "doomed", "deleting", "gone", "dead", "refused"]
EDGES = {
    ("in_use", "released"), ("released", "doomed"), ("doomed", "deleting"), ("doomed", "refused"),
    ("deleting", "doomed"), ("deleting", "gone"), ("deleting", "dead"), ("deleting", "refused"),
    ("dead", "doomed"), ("dead", "refused"), ("refused", "doomed"), ("gone", "doomed"),
}
# How a row gets into a state, by legal edges only.
PATHS = {
    "in_use": [], "released": ["released"], "doomed": ["released", "doomed"],
    "deleting": ["released", "doomed", "deleting"], "gone": ["released", "doomed", "deleting", "gone"],
    "dead": ["released", "doomed", "deleting", "dead"], "refused": ["released", "doomed", "refused"],
}
FILL = "doomed_at = now(), due_at = now(), evidence = '{}', lease = 1"


def new_row(house: House) -> str:
    sandbox = f"sb-{uuid.uuid4().hex}"
    house.stack.sql(
        "INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id) VALUES ('sandbox', %s, %s, %s, %s)",
        (sandbox, *(str(uuid.uuid4()) for _ in range(3))),
    )
    return sandbox


def go(house: House, sandbox: str, state: str) -> None:
    house.stack.sql(f"UPDATE sandsweep.owned_resources SET state = %s, {FILL} WHERE resource_id = %s", (state, sandbox))


@pytest.mark.parametrize("start", STATES)
@pytest.mark.parametrize("end", STATES)
def test_every_edge(house: House, start: str, end: str) -> None:
    sandbox = new_row(house)
    for state in PATHS[start]:
        go(house, sandbox, state)
    if start == end or (start, end) in EDGES:
        go(house, sandbox, end)
        assert house.states([sandbox]) == {sandbox: end}
    else:
        with pytest.raises(psycopg2.Error) as refused:
            go(house, sandbox, end)
        assert refused.value.pgcode == "SW001"
        assert f"cannot go from {start} to {end}" in str(refused.value)


@pytest.mark.parametrize("state", [s for s in STATES if s != "in_use"])
def test_birth_only_in_use(house: House, state: str) -> None:
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql(
            f"INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id, state, doomed_at, due_at, evidence, lease) "
            f"VALUES ('sandbox', 'x', '{uuid.uuid4()}', '{uuid.uuid4()}', '{uuid.uuid4()}', %s, now(), now(), '{{}}', 1)", (state,))
    assert refused.value.pgcode == "SW001"


@pytest.mark.parametrize("column", ["resource_id = 'other'", "team_id = gen_random_uuid()", "function_id = gen_random_uuid()", "revision_id = gen_random_uuid()"])
def test_identity_never_changes(house: House, column: str) -> None:
    sandbox = new_row(house)
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql(f"UPDATE sandsweep.owned_resources SET {column} WHERE resource_id = %s", (sandbox,))
    assert refused.value.pgcode == "SW002"


def test_rows_stay(house: House) -> None:
    sandbox = new_row(house)
    with pytest.raises(psycopg2.Error) as refused:
        house.stack.sql("DELETE FROM sandsweep.owned_resources WHERE resource_id = %s", (sandbox,))
    assert refused.value.pgcode == "SW001"


def test_no_delete_without_evidence(house: House) -> None:
    sandbox = new_row(house)
    for state in PATHS["doomed"]:
        go(house, sandbox, state)
    with pytest.raises(psycopg2.errors.CheckViolation):
        house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'deleting', evidence = NULL WHERE resource_id = %s", (sandbox,))


def test_the_queue_follows_the_ledger(house: House) -> None:
    """Whoever changes a row, the queue has it under its due_at while it is doomed or deleting."""
    sandbox = new_row(house)
    entries = "SELECT q.due_at = o.due_at AND o.queued_at = o.due_at FROM sandsweep.due q JOIN sandsweep.owned_resources o USING (id, team_id) WHERE o.resource_id = %s"
    steps = [("released", []), ("doomed", [(True,)]), ("deleting", [(True,)]), ("doomed", [(True,)]), ("refused", []), ("doomed", [(True,)]), ("deleting", [(True,)]), ("gone", [])]
    for state, expected in steps:
        go(house, sandbox, state)
        assert house.stack.sql(entries, (sandbox,)) == expected, state
    go(house, sandbox, "doomed")
    house.stack.sql("UPDATE sandsweep.owned_resources SET due_at = due_at + interval '1 hour' WHERE resource_id = %s", (sandbox,))
    assert house.stack.sql(entries, (sandbox,)) == [(True,)]
    go(house, sandbox, "refused")


def test_a_place_in_the_queue_that_changed_meanwhile(house: House) -> None:
    """A sandbox is recorded as gone, which wakes its volume; while that waits for a lock, a claim gives the volume another place."""
    f = house.function(revisions=1, volumes=1)
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    house.stack.sql(
        "UPDATE sandsweep.owned_resources SET state = 'doomed', doomed_at = now(), due_at = now() + CASE kind WHEN 'sandbox' THEN interval '0' ELSE '1 hour' END WHERE resource_id = ANY (%s)",
        (f.active.volumes + [f.active.sandbox],),
    )
    house.stack.sql("UPDATE sandsweep.owned_resources SET state = 'deleting', evidence = '{}', lease = 1 WHERE resource_id = %s", (f.active.sandbox,))
    number = house.row(f.active.sandbox)["id"]
    text = re.sub(r"--[^\n]*", "", (ROOT / "sql" / "queries" / "record.sql").read_text())
    recorder = house.stack.connect()
    with recorder.cursor() as cur:
        cur.execute("PREPARE record AS " + text)
        with holding(house.stack, f"SELECT FROM sandsweep.owned_resources WHERE id = {number} FOR UPDATE"):
            recording = threading.Thread(target=cur.execute, args=(f"EXECUTE record('{{{number}}}', '{{1}}', '{{gone}}', '{{0}}', '{{404}}', '{{NULL}}', '{{NULL}}', '{{true}}', 5)",))
            recording.start()
            wait_until(lambda: house.stack.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'EXECUTE record%'"), "the record to wait")
            house.stack.sql("UPDATE sandsweep.owned_resources SET due_at = due_at + interval '1 hour' WHERE resource_id = %s", (f.active.volumes[0],))
        recording.join()
    recorder.close()
    entries = "SELECT q.due_at = o.due_at AND o.queued_at = o.due_at FROM sandsweep.due q JOIN sandsweep.owned_resources o USING (id, team_id) WHERE o.resource_id = %s"
    assert house.states([f.active.sandbox]) == {f.active.sandbox: "gone"}
    assert house.stack.sql(entries, (f.active.volumes[0],)) == [(True,)], "no claim would ever find it again"


def test_births_and_releases(house: House) -> None:
    f = house.function(revisions=2, volumes=2)
    assert house.states(f.ours) == {thing: "in_use" for thing in f.ours}
    assert house.states(f.users) == {}
    old = f.active.sandbox
    house.map(f.active, f"sb-{uuid.uuid4().hex}")  # another runtime takes its place
    row = house.row(old)
    assert (row["state"], row["release_reason"]) == ("released", "replaced")
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now(), enabled = false WHERE id = %s", (f.id,))
    assert set(house.states(f.ours).values()) == {"released"}
    assert house.row(f.revisions[0].volumes[0])["release_reason"] == "function_deleted"
    mapped = house.stack.sql("SELECT count(*) FROM shared_gateway.functions_revisions WHERE function_id = %s AND runtime_sandbox_id IS NOT NULL", (f.id,))
    assert mapped == [(0,)]


def test_removed_revision_releases(house: House) -> None:
    f = house.function()
    house.stack.sql("DELETE FROM shared_gateway.functions WHERE id = %s", (f.id,))
    assert house.states(f.ours) == {thing: "released" for thing in f.ours}


def test_w14_publish_that_loses_against_delete(house: House) -> None:
    """A revision inserted while its function is being deleted is released, whichever comes first."""
    f = house.function()
    house.stack.sql("UPDATE shared_gateway.functions SET deleted_at = now() WHERE id = %s", (f.id,))
    late = house.revision(f, 2, 1, False)
    assert house.states(late.ours) == {thing: "released" for thing in late.ours}


@pytest.mark.parametrize("again", ["released", "doomed", "deleting", "gone", "dead", "refused"])
def test_s3_never_mapped_again(house: House, again: str) -> None:
    f = house.function()
    sandbox = f.active.sandbox
    house.map(f.active, None)
    for state in PATHS[again][1:]:
        go(house, sandbox, state)
    with pytest.raises(psycopg2.Error) as refused:
        house.map(f.active, sandbox)
    assert refused.value.pgcode == "SW003"


def test_s3_not_for_two_revisions(house: House) -> None:
    f = house.function(revisions=2)
    with pytest.raises(psycopg2.Error) as refused:
        house.map(f.revisions[0], f.revisions[1].sandbox)
    assert refused.value.pgcode == "SW003"


def test_w18_the_users_own_never_enter(house: House) -> None:
    """Volumes that a revision_spec names, source volumes and source sandboxes are not written down."""
    f = house.function(volumes=0, mapped=False)
    mounts = [
        {"sandboxvolume_id": "user-vol", "mount_point": "/a"},
        {"sandboxvolume_id": "user-vol-2", "mount_point": "/b", "source_sandboxvolume_id": "", "snapshot_id": ""},
        {"sandboxvolume_id": "same-vol", "mount_point": "/c", "source_sandboxvolume_id": "same-vol", "snapshot_id": "s"},
    ]
    for kind in ("revision_spec", "sandbox_service"):
        house.stack.sql(
            """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
                   source_template_id, restore_mounts, service_snapshot, source_type)
               VALUES (gen_random_uuid(), %s, %s, %s, '', '', 'tpl', %s, '{}', %s)""",
            (f.id, f.team, 10 if kind == "revision_spec" else 11, json.dumps(mounts), kind),
        )
    assert house.states(["user-vol", "user-vol-2", "same-vol", "s"]) == {}
    house.map(f.active, f.active.source_sandbox)  # serving from the source is not a restore
    assert house.states([f.active.source_sandbox]) == {}


def test_w18_full_mount_of_a_revision_spec(house: House) -> None:
    """Even with every field of a publish, a revision_spec's volume is the user's."""
    f = house.function(volumes=0, mapped=False)
    mount = [{"sandboxvolume_id": "uv-1", "mount_point": "/a", "source_sandboxvolume_id": "uv-0", "snapshot_id": "us-1"}]
    house.stack.sql(
        """INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
               source_template_id, restore_mounts, service_snapshot, source_type)
           VALUES (gen_random_uuid(), %s, %s, 10, '', '', 'tpl', %s, '{}', 'revision_spec')""", (f.id, f.team, json.dumps(mount)))
    assert house.states(["uv-1", "uv-0", "us-1"]) == {}


# ---- plans ----

TEAM, FUNCTION, REVISION = (str(uuid.uuid4()) for _ in range(3))
PLANS = {
    "claim": ["w", "60000", "500", "64", "64", "00000000-0000-0000-0000-000000000000", "{}", "1000", "10000", "200", "500"],
    "doom": [f"{{{TEAM}}}", "{sandbox}", f"{{{TEAM}}}", f"{{{FUNCTION}}}", f"{{{REVISION}}}", "{sb-1}", "{NULL}"],
    "record": ["{1}", "{1}", "{gone}", "{0}", "{200}", "{NULL}", "{NULL}", "{t}", "12"],
    "runtime_get": [TEAM, "slug", None, "20"],
    "runtime_clear": [TEAM, "slug", None, "io.sandsweep.runtime.recycled", "recycled", TEAM, "r", "t", None, None],
    "function_update": [TEAM, "slug", None, "n", "f", None, TEAM, "r", "t", "{1}", None, None],
    "function_delete": [TEAM, "slug", None, TEAM, "r", "t", None, "key", "f"],
    "function_list": [TEAM],
    "function_page": [TEAM, "1", FUNCTION, "10"],
    "function_get": [TEAM, "slug", None],
    "revision_find": [TEAM, "slug", None, None],
    "alias_find": [TEAM, "slug", None, None],
    "cleanup_get": [TEAM, "slug", None, "200"],
    "publish_begin": [TEAM, None, None, FUNCTION, "slug", "label", REVISION, REVISION],
    "worker_health": [],
    "outbox_fetch": ["0", "1000"],
}
WORKERS = {"claim", "doom", "record", "worker_health", "outbox_fetch"}  # all others are the api's
# Statements inside the triggers, as they stand in the migrations.
TRIGGERS = {
    "release_mapping": "UPDATE sandsweep.owned_resources SET state = 'released' WHERE kind = 'sandbox' AND resource_id = 'sb-1' AND revision_id = gen_random_uuid() AND state = 'in_use'",
    "release_function": f"UPDATE sandsweep.owned_resources SET state = 'released' WHERE function_id = '{FUNCTION}' AND stage = 'in_use'",
    "release_revision": f"UPDATE sandsweep.owned_resources SET state = 'released' WHERE function_id = '{FUNCTION}' AND revision_id = '{REVISION}' AND stage = 'in_use'",
    "clear_mappings": f"UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = NULL WHERE function_id = '{FUNCTION}' AND runtime_sandbox_id IS NOT NULL",
    "is_source": "SELECT FROM shared_gateway.functions_revisions WHERE source_sandbox_id = 'x'",
}
FILL_TABLES = """
SET session_replication_role = replica;
INSERT INTO shared_gateway.functions (id, team_id, name, slug, domain_label)
    SELECT gen_random_uuid(), md5((i % 500)::text)::uuid, 'f', 'f-' || i, 'd-' || i FROM generate_series(1, 20000) i;
INSERT INTO shared_gateway.functions_revisions (id, function_id, team_id, revision_number, source_sandbox_id, source_service_id,
        source_template_id, service_snapshot, runtime_sandbox_id, restore_mounts)
    SELECT gen_random_uuid(), id, team_id, 1, 'src-' || slug, 's', 't', '{}', 'sb-' || slug, jsonb_build_array(jsonb_build_object('sandboxvolume_id', 'v-' || slug))
    FROM shared_gateway.functions;
INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id, state, released_at, doomed_at, due_at, lease, evidence)
    SELECT 'sandbox', 'sb-' || i, md5((i % 500)::text)::uuid, gen_random_uuid(), gen_random_uuid(),
           (ARRAY['in_use', 'released', 'doomed', 'deleting', 'gone', 'gone', 'gone', 'gone', 'dead'])[i % 9 + 1]::sandsweep.resource_state,
           now(), now(), now() - make_interval(secs => i % 1000), 1, '{}'
    FROM generate_series(1, 100000) i;
UPDATE sandsweep.owned_resources SET queued_at = due_at WHERE state IN ('doomed', 'deleting');
INSERT INTO sandsweep.due (team_id, due_at, id) SELECT team_id, due_at, id FROM sandsweep.owned_resources WHERE queued_at IS NOT NULL;
INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, data) SELECT gen_random_uuid(), gen_random_uuid(), 'events', 't', '{}' FROM generate_series(1, 20000);
"""


@pytest.fixture(scope="module")
def filled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A database of its own with a few hundred thousand rows, seen as our connections see it, prepared
    once for any parameters. What is an index range here is one at ten million: it only gets cheaper
    beside a scan of the whole table."""
    stack.sql("CREATE DATABASE plans")
    dsn = stack.env["SANDSWEEP_PG_DSN"].replace("dbname=sandsweep", "dbname=plans")
    House(stack, tmp_path_factory.mktemp("plans")).run("migrate", "up", env={"SANDSWEEP_POSTGRES_DSN": dsn})
    conn = psycopg2.connect(dsn)
    conn.autocommit = True
    with conn.cursor() as cur:
        cur.execute(FILL_TABLES)
        cur.execute("VACUUM ANALYZE")
        cur.execute("SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET random_page_cost = 0.01")
        yield cur
    conn.close()
    stack.sql("DROP DATABASE plans")


WALKED = ("owned_resources_unfinished", "owned_resources_stuck", "outbox_pkey")


def whole_tables(cur: Any, statement: str) -> list[str]:
    """The lines of the plan that read one of the large tables from end to end."""
    cur.execute("EXPLAIN (COSTS OFF) " + statement)
    lines = [row[0].strip() for row in cur.fetchall()]
    large = ("owned_resources", "due", "functions", "functions_revisions", "outbox")
    found = []
    for line, following in zip(lines, [*lines[1:], ""]):
        name = line.split(" on ")[-1].split()[0] if " on " in line else ""
        if "Bitmap Index Scan" in line and "Index Cond" not in following:
            found.append(line)
        if name not in large or "Scan" not in line or "Bitmap" in line:
            continue
        # An index without a condition is walked from one end: right only for a small partial index, or
        # for the first rows in its order.
        walked = "Index" in line and "Index Cond" not in following and not any(index in line for index in WALKED)
        if "Seq Scan" in line or walked:
            found.append(line)
    return found


def query_text(name: str) -> str:
    return "\n".join(line for line in (ROOT / "sql" / "queries" / f"{name}.sql").read_text().splitlines() if not line.startswith("--"))


@contextmanager
def acting(cur: Any, role: str) -> Iterator[Any]:
    """As a connection of the program that takes this role, about the team of these tests."""
    cur.execute("SELECT set_config('role', %s, false), set_config('sandsweep.team', %s, false)", (role, TEAM))
    try:
        yield cur
    finally:
        cur.execute("DEALLOCATE ALL; RESET ROLE; RESET sandsweep.team")


@pytest.mark.parametrize("under", ["owner", "role"])
@pytest.mark.parametrize("name", PLANS)
def test_statements_read_index_ranges(filled: Any, name: str, under: str) -> None:
    role = "none" if under == "owner" else "sandsweep_worker" if name in WORKERS else "sandsweep_api"
    values = ", ".join("NULL" if v is None else f"'{v}'" for v in PLANS[name])
    with acting(filled, role):
        filled.execute(f"PREPARE {name} AS {query_text(name)}")
        filled.execute(f"EXPLAIN (COSTS OFF) EXECUTE {name}" + (f" ({values})" if values else ""))
        plan = "\n".join(row[0] for row in filled.fetchall())
        assert ("sandsweep.team" in plan) is (role == "sandsweep_api")
        if name in ("doom", "record"):  # found by id or function, never by walking what is in a state
            assert "owned_resources_unfinished" not in plan
        if name == "function_page":  # a page far behind costs what the first one does
            assert [line for line in plan.splitlines() if "ROW(" in line and "Index Cond" in line], plan
        if name == "claim":  # mounts are found by their index, whatever rule stands before the table
            assert plan.count("Bitmap Index Scan on sandsweep_revisions_mounts") == 3
        assert whole_tables(filled, f"EXECUTE {name}" + (f" ({values})" if values else "")) == []


@pytest.mark.parametrize("name", TRIGGERS)
def test_triggers_read_index_ranges(filled: Any, name: str) -> None:
    assert whole_tables(filled, TRIGGERS[name]) == []


def test_a_whole_scan_would_be_noticed(filled: Any) -> None:
    assert whole_tables(filled, "SELECT * FROM sandsweep.owned_resources WHERE last_error = 'x'") != []
    mounts = "SELECT FROM shared_gateway.functions_revisions WHERE restore_mounts @> '[{\"sandboxvolume_id\": \"v-f-1\"}]'"
    with acting(filled, "sandsweep_api"):  # its rule comes before what is not known to be silent
        assert whole_tables(filled, mounts) != []
    assert whole_tables(filled, mounts) == []
