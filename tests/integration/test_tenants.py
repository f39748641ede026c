"""No team sees or touches what is another's: by no route of the API, and not in the database either, should
the API ask for it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import quote_ident

from tests.support.house import Api, Function, House
from tests.support.publish import spec
from tests.support.sim import Sim
from tests.support.stack import ROOT, Stack, elsewhere

LIST = "/api/v1/functions"
UNLIMITED = {"api.rate_per_second": "0", "api.key_cache_ms": "3600000"}
FUNCTION_TABLES = ["shared_gateway.functions", "shared_gateway.functions_revisions", "shared_gateway.functions_aliases"]


def dump(stack: Stack) -> dict[str, str]:
    """Everything that both schemas hold, by table."""
    tables = stack.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('sandsweep', 'shared_gateway')")
    return {name: stack.sql(f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} t")[0][0] for (name,) in tables}


def alias(stack: Stack, f: Function) -> None:
    stack.sql("INSERT INTO shared_gateway.functions_aliases (function_id, alias, revision_id) VALUES (%s, 'production', %s)", (f.id, f.active.id))


# ---- the routes ----


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    public: bool
    reads_body: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def of(self, name: str) -> str:
        """The path of this route for a function."""
        path = self.path.replace("{id}", name)
        for placeholder, value in {"{number}": "1", "{alias}": "production"}.items():
            path = path.replace(placeholder, value)
        assert "{" not in path, f"{self}: say what stands for the placeholder in {path}"
        return path


def route_table() -> list[Route]:
    """The table in api/route.c."""
    text = (ROOT / "api" / "route.c").read_text()
    table = re.search(r"^const struct route routes\[[^]]*\] = \{\n(.*?)^\};", text, re.S | re.M)
    assert table, "the table of routes is not where it was"
    rows = re.findall(r'\{\s*"([A-Z]+)",\s*"([^"]+)",\s*(ROUTE_\w+),\s*(ROUTE_\w+)', table[1])
    assert len(rows) == len(re.findall(r"^ {4}\{", table[1], re.M)) > 0, "the table of routes does not look as it did"
    return [Route(method, path, permission == "ROUTE_PUBLIC", body == "ROUTE_BODY_READ") for method, path, permission, body in rows]


SOURCE = spec()
# What is sent by every route that reads a body: what would change something if the function were one's own.
BODIES: dict[str, Any] = {
    f"PUT {LIST}/{{id}}": {"name": "taken over", "enabled": False},
    f"POST {LIST}/{{id}}/revisions": {"source": SOURCE},
    f"PUT {LIST}/{{id}}/aliases/{{alias}}": {"revision_number": 1},
}
# Routes that name no function, each with a test of its own here.
WITHOUT_FUNCTION = {f"GET {LIST}": "test_the_list_is_ones_own", f"POST {LIST}": "test_what_is_created_is_ones_own"}
ROUTES = [route for route in route_table() if not route.public]


def test_every_route_has_a_case() -> None:
    for route in ROUTES:
        if "{id}" not in route.path:
            assert str(route) in WITHOUT_FUNCTION, f"{route} names no function: write a test of whose things it shows, and name it here"
            assert WITHOUT_FUNCTION[str(route)] in globals()
        elif route.reads_body:
            assert str(route) in BODIES, f"{route} reads a body: write one down that would change something"


@pytest.mark.parametrize("route", [r for r in ROUTES if "{id}" in r.path], ids=str)
def test_another_teams_function_is_not_there(house: House, api: Api, route: Route) -> None:
    theirs = house.function(revisions=2)
    alias(house.stack, theirs)
    mine = house.function()
    asking = [(api.key(mine.team), {}), (api.key(None), {"X-Team-ID": mine.team})]
    theirs_key = api.key(theirs.team)
    body = BODIES[str(route)] if route.reads_body else None
    before = dump(house.stack)
    for key, headers in asking:
        for name in (theirs.id, theirs.id.upper(), theirs.slug):
            for method in ["GET", "HEAD"] if route.method == "GET" else [route.method]:
                status, _, answer = api.request(method, route.of(name), key, body, headers)
                assert status == 404, f"{method} {route.of(name)}: {status} {answer}"
                assert method == "HEAD" or answer["error"]["message"] == "function not found"
    assert dump(house.stack) == before
    assert api.request(route.method, route.of(theirs.id), theirs_key, body)[0] != 404, "for its own team it is there"


@pytest.mark.parametrize("route", [r for r in ROUTES if "{id}" in r.path], ids=str)
def test_a_slug_that_two_teams_have(house: House, api: Api, route: Route) -> None:
    """It names each one's own; of the other's nothing is shown or changed."""
    theirs, mine = house.function(), house.function()
    for f in (theirs, mine):
        alias(house.stack, f)
        house.stack.sql("UPDATE shared_gateway.functions SET slug = %s WHERE id = %s", (f"twice-{theirs.id[:8]}", f.id))
    rows = """SELECT (SELECT jsonb_agg(to_jsonb(f)) FROM shared_gateway.functions f WHERE f.id = %(id)s),
                     (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.id) FROM shared_gateway.functions_revisions r WHERE r.function_id = %(id)s),
                     (SELECT jsonb_agg(to_jsonb(a)) FROM shared_gateway.functions_aliases a WHERE a.function_id = %(id)s),
                     (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.id) FROM sandsweep.owned_resources o WHERE o.function_id = %(id)s),
                     (SELECT count(*) FROM sandsweep.outbox o WHERE o.function_id = %(id)s)"""
    before = house.stack.sql(rows, {"id": theirs.id})
    status, _, answer = api.request(route.method, route.of(f"twice-{theirs.id[:8]}"), api.key(mine.team), BODIES.get(str(route)))
    assert status != 404, answer
    text = json.dumps(answer)
    assert not [x for x in (theirs.id, theirs.team, *theirs.ours, *theirs.users) if x in text]
    assert house.stack.sql(rows, {"id": theirs.id}) == before


def test_the_list_is_ones_own(house: House, api: Api) -> None:
    theirs, mine = house.function(), [house.function(team="8a1d7a2e-3c7c-4b5e-9d0a-0c5c7e0d9b11") for _ in range(3)]
    for key, headers in [(api.key(mine[0].team), {}), (api.key(None), {"X-Team-ID": mine[0].team})]:
        status, _, answer = api.request("GET", LIST, key, headers=headers)
        assert status == 200 and {f["id"] for f in answer["data"]["functions"]} == {f.id for f in mine}
        assert theirs.id not in json.dumps(answer)


def test_what_is_created_is_ones_own(house: House, sim: Sim, api: Api) -> None:
    """Whatever the body names: a function of another team's name, another team's volumes, another team's sandbox."""
    theirs, mine = house.function(sim=sim), str(uuid.uuid4())
    key = api.key(mine)
    body = {"name": theirs.slug, "source": spec(theirs.active.volumes), "team_id": theirs.team, "id": theirs.id}
    of_theirs = "SELECT (SELECT jsonb_agg(to_jsonb(f)) FROM shared_gateway.functions f WHERE f.team_id = %(team)s), (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.id) FROM sandsweep.owned_resources o WHERE o.team_id = %(team)s)"
    before = house.stack.sql(of_theirs, {"team": theirs.team})
    status, _, answer = api.request("POST", LIST, key, body)
    assert status == 201 and answer["data"]["function"]["team_id"] == mine == answer["data"]["revision"]["team_id"]
    assert answer["data"]["function"]["id"] != theirs.id
    assert api.request("POST", LIST, key, {"source": {"sandbox_id": theirs.active.source_sandbox, "service_id": "web"}})[0] == 403
    assert house.stack.sql(of_theirs, {"team": theirs.team}) == before


# ---- the database itself ----

# One row of a team in every table that has a team; %(team)s, %(function)s and %(revision)s are there.
ROWS = {
    "sandsweep.due": "INSERT INTO sandsweep.due (team_id, due_at, id) VALUES (%(team)s, now(), 1)",
    "sandsweep.outbox": "INSERT INTO sandsweep.outbox (team_id, function_id, channel, type, data) VALUES (%(team)s, %(function)s, 'events', 't', '{}')",
    "sandsweep.audit_log": "INSERT INTO sandsweep.audit_log (team_id, actor, action) VALUES (%(team)s, 'a', 'x')",
    "sandsweep.api_keys": """INSERT INTO sandsweep.api_keys (sha256, name, region, scope, team_id, principal, permissions)
        VALUES (md5(%(team)s) || md5(%(team)s), 'n', 'r', 'team', %(team)s, gen_random_uuid(), '{*}')""",
    "sandsweep.restore_attempts": """INSERT INTO sandsweep.restore_attempts (id, team_id, function_id, revision_id, template_id)
        VALUES (gen_random_uuid(), %(team)s, %(function)s, %(revision)s, 't')""",
    "sandsweep.publish_attempts": """INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id)
        VALUES (gen_random_uuid(), %(team)s, %(function)s, gen_random_uuid())""",
    "sandsweep.publish_steps": """INSERT INTO sandsweep.publish_steps (attempt_id, number, team_id, kind, parent_id)
        SELECT id, 1, team_id, 'snapshot', 'v' FROM sandsweep.publish_attempts WHERE team_id = %(team)s""",
    "sandsweep.idempotency_keys": "INSERT INTO sandsweep.idempotency_keys (team_id, key, fingerprint, result) VALUES (%(team)s, 'k', 'f', '{}')",
    "sandsweep.reconcile_runs": "INSERT INTO sandsweep.reconcile_runs (actor, mode, team_id) VALUES ('a', 'observe', %(team)s)",
    "sandsweep.reconcile_findings": """INSERT INTO sandsweep.reconcile_findings (run_id, number, since, class, kind, resource_id, team_id, proof, action, verdict, evidence)
        SELECT max(id), 1, now(), 'ghost', 'sandbox', 'x', %(team)s, 'absent', 'doom', 'unproved', '{}' FROM sandsweep.reconcile_runs""",
    "sandsweep.drift": """INSERT INTO sandsweep.drift (class, kind, resource_id, team_id, since, first_seen_at, last_seen_at, run_id, action, young, observed)
        VALUES ('ghost', 'sandbox', %(team)s, %(team)s, now(), now(), now(), 1, 'doom', false, false)""",
    "sandsweep.delete_budgets": "INSERT INTO sandsweep.delete_budgets (team_id) VALUES (%(team)s)",
}
WITH_TEAM = """SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('sandsweep', 'shared_gateway') AND c.relkind IN ('r', 'p')
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'team_id') ORDER BY 1"""
COLUMNS = """SELECT a.attname FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attidentity = '' AND a.attgenerated = '' AND has_column_privilege('sandsweep_api', a.attrelid, a.attnum, %s) ORDER BY a.attnum"""


class Tables:
    """Two teams with a row in each table that has a team, and somebody who runs statements as the API would."""

    def __init__(self, stack: Stack, house: House) -> None:
        self.conn, self.api = stack.connect(), stack.connect()
        self.api.autocommit = False
        self.names = [row[0] for row in self.sql(WITH_TEAM)] + ["shared_gateway.functions_aliases"]
        self.mine, self.theirs = house.function(), house.function()
        for f in (self.mine, self.theirs):
            alias(stack, f)
            for statement in ROWS.values():
                self.sql(statement, {"team": f.team, "function": f.id, "revision": f.active.id})

    def close(self) -> None:
        self.conn.close()
        self.api.close()

    def sql(self, text: str, values: Any = None) -> list[tuple[Any, ...]]:
        """With every right."""
        with self.conn.cursor() as cur:
            cur.execute(text, values)
            return cur.fetchall() if cur.description else []

    def rows(self, table: str, team: str) -> list[Any]:
        """As they are, whoever asks."""
        whose = "(SELECT f.team_id FROM shared_gateway.functions f WHERE f.id = t.function_id)" if table.endswith("aliases") else "t.team_id"
        return [row[0] for row in self.sql(f"SELECT to_jsonb(t) FROM {table} t WHERE {whose} = %s ORDER BY t::text", (team,))]

    def columns(self, table: str, privilege: str) -> list[str]:
        return [row[0] for row in self.sql(COLUMNS, (table, privilege))]

    def try_as_api(self, team: str | None, statement: str, values: Any = None) -> int | str:
        """How many rows it showed or changed, or the SQLSTATE that it ended with; and that of `theirs` nothing
        has changed. It is undone."""
        before = {name: self.rows(name, self.theirs.team) for name in self.names}
        try:
            with self.api.cursor() as cur:
                cur.execute("SET LOCAL ROLE sandsweep_api")
                if team is not None:
                    cur.execute("SELECT set_config('sandsweep.team', %s, true)", (team,))
                try:
                    cur.execute(statement, values)
                except psycopg2.Error as refused:
                    return refused.pgcode
                count = cur.rowcount
                cur.execute("RESET ROLE")
                for name in self.names:
                    cur.execute(f"SELECT count(*) FROM {name} t WHERE to_jsonb(t) = ANY (%s::jsonb[])", ([json.dumps(row) for row in before[name]],))
                    assert cur.fetchone() == (len(before[name]),), f"{statement} has changed another team's rows of {name}"
                return count
        finally:
            self.api.rollback()

    def insert(self, table: str, team: str | None, like: Any) -> int | str:
        columns = ", ".join(quote_ident(c, self.conn) for c in self.columns(table, "INSERT"))
        return self.try_as_api(team, f"INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s)", (json.dumps(like),))


@pytest.fixture(scope="module")
def tables(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with elsewhere(stack, "tenants") as own:
        house = House(own, tmp_path_factory.mktemp("tenants"))
        house.run("migrate", "up")
        made = Tables(own, house)
        yield made
        made.close()


def test_every_table_with_a_team_is_under_the_rule(tables: Tables) -> None:
    for name in tables.names:
        assert tables.rows(name, tables.mine.team) and tables.rows(name, tables.theirs.team), f"{name} has no row of each team here: write one down in ROWS"
        guarded, forced = tables.sql("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (name,))[0]
        assert guarded, f"{name}: SELECT sandsweep.keep_tenants_apart()"
        assert forced is (name not in FUNCTION_TABLES), name


def test_without_a_team_nothing_is_there(tables: Tables) -> None:
    for team in (None, "", str(uuid.uuid4())):
        for name in tables.names:
            readable = tables.columns(name, "SELECT")
            assert tables.try_as_api(team, f"SELECT {readable[0] if readable else '1'} FROM {name}") == (0 if readable else "42501"), name
            assert tables.try_as_api(team, f"DELETE FROM {name}") in (0, "42501"), name
            for column in tables.columns(name, "UPDATE"):
                assert tables.try_as_api(team, f"UPDATE {name} SET {column} = NULL") in (0, "42501"), (name, column)
            if tables.columns(name, "INSERT"):
                assert tables.insert(name, team, tables.rows(name, tables.theirs.team)[0]) == "42501", name
    assert tables.try_as_api("not a team", "SELECT FROM shared_gateway.functions") == "22P02"


def test_with_a_team_only_its_own(tables: Tables) -> None:
    mine, theirs = tables.mine.team, tables.theirs.team
    looked = written = 0
    for name in tables.names:
        readable = tables.columns(name, "SELECT")
        if readable:
            assert tables.try_as_api(mine, f"SELECT {readable[0]} FROM {name}") == len(tables.rows(name, mine)), name
            looked += 1
        if tables.columns(name, "INSERT"):
            assert tables.insert(name, mine, tables.rows(name, theirs)[0]) == "42501", name
            assert tables.insert(name, mine, tables.rows(name, mine)[0]) in (1, "23505"), f"{name}: one's own may be written"
            written += 1
        for column in tables.columns(name, "UPDATE"):  # (that nothing of theirs changes, is seen to by try_as_api)
            assert tables.try_as_api(mine, f"UPDATE {name} SET {column} = {column}") == len(tables.rows(name, mine)), (name, column)
            tables.try_as_api(mine, f"UPDATE {name} SET {column} = NULL")
        tables.try_as_api(mine, f"DELETE FROM {name}")
    assert looked >= 6 and written >= 6


def test_a_revision_is_of_its_teams_function(tables: Tables) -> None:
    revisions = "shared_gateway.functions_revisions"
    next = {**tables.rows(revisions, tables.mine.team)[0], "id": str(uuid.uuid4()), "revision_number": 99, "runtime_sandbox_id": None}
    assert tables.insert(revisions, tables.mine.team, next) == 1
    for other in (tables.theirs.id, str(uuid.uuid4())):
        assert tables.insert(revisions, tables.mine.team, {**next, "function_id": other}) == "42501"


def test_the_triggers_see_everything(tables: Tables) -> None:
    """What they guard holds over all teams: a sandbox that another team's revision was published from is never
    written down as ours, whoever maps it."""
    source = tables.theirs.active.source_sandbox
    map_it = "UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = %s WHERE id = %s"
    assert tables.try_as_api(tables.mine.team, map_it, (source, tables.mine.active.id)) == 1
    assert tables.try_as_api(tables.mine.team, map_it, (tables.theirs.active.sandbox, tables.mine.active.id)) == "SW003"
    assert tables.try_as_api(tables.mine.team, map_it, ("sb-new", tables.theirs.active.id)) == 0


def test_a_publish_is_its_teams(tables: Tables) -> None:
    """The functions that write it down see all teams; who comes as the API is held to its own all the same."""
    of = {team: tables.sql("SELECT id::text FROM sandsweep.publish_attempts WHERE team_id = %s", (team,))[0][0] for team in (tables.mine.team, tables.theirs.team)}
    ask = "SELECT sandsweep.publish_step(%s, 1, 'made', NULL, NULL, NULL)"
    for team in (None, tables.mine.team):
        assert tables.try_as_api(team, ask, (of[tables.theirs.team],)) == "SW005"
        assert tables.try_as_api(team, "SELECT sandsweep.publish_fail(%s, true)", (of[tables.theirs.team],)) == 1, "nothing has changed, see try_as_api"
    assert tables.try_as_api(tables.mine.team, ask, (of[tables.mine.team],)) == 1


def test_a_publish_gives_up_what_is_its_teams(tables: Tables) -> None:
    """Written down for another team's revision, it lets go of nothing of that revision's."""
    attempt = {"id": str(uuid.uuid4()), "team": tables.mine.team, "function": tables.theirs.id, "revision": tables.theirs.active.id}
    begin_and_fail = """INSERT INTO sandsweep.publish_attempts (id, team_id, function_id, revision_id)
        VALUES (%(id)s, %(team)s, %(function)s, %(revision)s); SELECT sandsweep.publish_fail(%(id)s, true)"""
    assert tables.try_as_api(tables.mine.team, begin_and_fail, attempt) == 1, "nothing has changed, see try_as_api"


def test_a_key_is_found_only_by_who_knows_it(tables: Tables) -> None:
    known = tables.sql("SELECT sha256 FROM sandsweep.api_keys WHERE team_id = %s", (tables.theirs.team,))[0][0]
    assert tables.try_as_api(None, "SELECT * FROM sandsweep.find_key(%s)", (known,)) == 1
    assert tables.try_as_api(None, "SELECT * FROM sandsweep.find_key(%s)", ("%",)) == 0
    assert tables.try_as_api(None, "SELECT * FROM sandsweep.find_key(NULL)") == 0
    assert tables.try_as_api(tables.theirs.team, "SELECT * FROM sandsweep.api_keys") == "42501"


def test_putting_the_rule_in_place_again(tables: Tables) -> None:
    everything = "SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    before = tables.sql(everything)
    tables.sql("SELECT sandsweep.keep_tenants_apart()")
    assert tables.sql(everything) == before
    roles = {(table, policy): set(roles.strip("{}").split(",")) for table, policy, _, roles, *_ in before}
    owner = tables.sql("SELECT current_user::text")[0][0]
    assert roles[("api_keys", "sandsweep_all")] == {owner}  # a policy is for those with a right, and for nobody else
    assert roles[("due", "sandsweep_all")] == {owner, "sandsweep_worker", "sandsweep_reconcile"}
    assert roles[("functions", "sandsweep_everybody")] == {"public"} and roles[("functions", "sandsweep_team")] == {"sandsweep_api"}


# What each program may not do, though others may. (role, statement)
REFUSED = [
    *[(role, statement) for role in ("sandsweep_api", "sandsweep_worker", "sandsweep_reconcile") for statement in (
        "UPDATE sandsweep.schema_migrations SET name = name",
        "INSERT INTO sandsweep.schema_migrations VALUES (9999, 'x', 'x')",
        "DELETE FROM sandsweep.schema_migrations",
        "SELECT FROM sandsweep.api_keys",
        "INSERT INTO sandsweep.api_keys DEFAULT VALUES",
        "UPDATE sandsweep.api_keys SET revoked_at = NULL",
        "DELETE FROM sandsweep.api_keys",
        "UPDATE sandsweep.audit_log SET actor = 'somebody else'",
        "DELETE FROM sandsweep.audit_log",
        "TRUNCATE sandsweep.outbox",
        "UPDATE sandsweep.outbox SET data = '{}'",
        "UPDATE sandsweep.owned_resources SET team_id = team_id",
        "UPDATE sandsweep.owned_resources SET resource_id = resource_id",
        "UPDATE sandsweep.owned_resources SET kind = kind",
        "UPDATE shared_gateway.functions SET team_id = team_id",
        "UPDATE shared_gateway.functions SET domain_label = 'x'",
        "DELETE FROM shared_gateway.functions",
        "UPDATE shared_gateway.functions_revisions SET function_id = function_id",
        "UPDATE shared_gateway.functions_revisions SET restore_mounts = '[]'",
        "UPDATE shared_gateway.functions_revisions SET source_sandbox_id = 'x'",
        "DELETE FROM shared_gateway.functions_revisions",
        "ALTER TABLE sandsweep.owned_resources DISABLE TRIGGER ALL",
        "ALTER TABLE sandsweep.owned_resources DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE shared_gateway.functions NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY sandsweep_team ON shared_gateway.functions",
        "CREATE TABLE sandsweep.mine (x integer)",
        "CREATE FUNCTION sandsweep.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        # A trigger that runs with its owner's rights, fed by a table of one's own.
        "CREATE TEMPORARY TABLE f (id uuid, deleted_at timestamptz);"
        " CREATE TRIGGER t AFTER UPDATE ON f FOR EACH ROW EXECUTE FUNCTION sandsweep.on_function_delete()",
        "CREATE TEMPORARY TABLE r (LIKE shared_gateway.functions_revisions);"
        " CREATE TRIGGER t AFTER INSERT ON r FOR EACH ROW EXECUTE FUNCTION sandsweep.on_revision_insert()",
    )],
    ("sandsweep_api", "INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id) VALUES ('sandbox', 'x', %(team)s, %(team)s, %(team)s)"),
    ("sandsweep_api", "UPDATE sandsweep.owned_resources SET state = 'doomed'"),
    ("sandsweep_api", "DELETE FROM sandsweep.owned_resources"),
    ("sandsweep_api", "SELECT FROM sandsweep.due"),
    ("sandsweep_api", "SELECT data FROM sandsweep.outbox"),
    ("sandsweep_api", "DELETE FROM sandsweep.outbox"),
    ("sandsweep_api", "SELECT FROM sandsweep.audit_log"),
    ("sandsweep_api", "SELECT nextval('sandsweep.lease_seq')"),
    ("sandsweep_api", "SELECT FROM sandsweep.delete_budgets"),
    ("sandsweep_api", "SELECT FROM sandsweep.restore_attempts"),
    ("sandsweep_api", "SELECT FROM sandsweep.reconcile_runs"),
    ("sandsweep_api", "SELECT FROM sandsweep.reconcile_findings"),
    ("sandsweep_api", "SELECT FROM sandsweep.drift"),
    ("sandsweep_api", "UPDATE shared_gateway.functions SET slug = 'x'"),
    ("sandsweep_api", "UPDATE shared_gateway.functions SET created_by = NULL"),
    ("sandsweep_api", "UPDATE shared_gateway.functions_aliases SET function_id = function_id"),
    ("sandsweep_api", "SELECT sandsweep.analyze_tables()"),
    ("sandsweep_worker", "SELECT sandsweep.find_key('x')"),
    ("sandsweep_worker", "SELECT sandsweep.analyze_tables()"),
    ("sandsweep_worker", "SELECT service_snapshot FROM shared_gateway.functions_revisions"),
    ("sandsweep_worker", "UPDATE shared_gateway.functions_revisions SET runtime_sandbox_id = NULL"),
    ("sandsweep_worker", "UPDATE shared_gateway.functions SET deleted_at = now()"),
    ("sandsweep_worker", "SELECT name FROM shared_gateway.functions"),
    ("sandsweep_worker", "INSERT INTO sandsweep.owned_resources (kind, resource_id, team_id, function_id, revision_id) VALUES ('sandbox', 'x', %(team)s, %(team)s, %(team)s)"),
    ("sandsweep_worker", "DELETE FROM sandsweep.owned_resources"),
    ("sandsweep_worker", "UPDATE sandsweep.owned_resources SET released_at = now()"),
    ("sandsweep_worker", "UPDATE sandsweep.owned_resources SET finding = '{}'"),
    ("sandsweep_worker", "SELECT FROM sandsweep.audit_log"),
    ("sandsweep_worker", "UPDATE sandsweep.delete_budgets SET live = 1000000"),
    ("sandsweep_worker", "SELECT FROM sandsweep.reconcile_findings"),
    ("sandsweep_worker", "UPDATE sandsweep.reconcile_shards SET term = 0"),
    ("sandsweep_reconcile", "SELECT sandsweep.find_key('x')"),
    ("sandsweep_reconcile", "SELECT data FROM sandsweep.outbox"),
    ("sandsweep_reconcile", "DELETE FROM sandsweep.outbox"),
    ("sandsweep_reconcile", "UPDATE sandsweep.delete_budgets SET spent = 0"),
    ("sandsweep_reconcile", "UPDATE shared_gateway.functions SET enabled = true"),
    ("sandsweep_reconcile", "UPDATE shared_gateway.functions SET deleted_at = now()"),
    ("sandsweep_reconcile", "UPDATE sandsweep.owned_resources SET evidence = '{}'"),
    ("sandsweep_reconcile", "UPDATE sandsweep.reconcile_findings SET verdict = 'proved'"),
    ("sandsweep_reconcile", "SELECT nextval('sandsweep.lease_seq')"),
]  # fmt: skip


def test_rights(tables: Tables) -> None:
    allowed = []
    with tables.api.cursor() as cur:
        for role, statement in REFUSED:
            cur.execute("SELECT set_config('role', %s, true), set_config('sandsweep.team', %s, true)", (role, tables.mine.team))
            try:
                cur.execute(statement, {"team": tables.mine.team})
                allowed.append((role, statement))
            except psycopg2.errors.InsufficientPrivilege:
                pass
            tables.api.rollback()
    assert allowed == []


# ---- many at once ----


def answers(port: int, headers: dict[str, str], requests: list[tuple[str, str, Any]]) -> Iterator[tuple[int, Any]]:
    """One after the other on one connection: (method, path, body)."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for method, path, body in requests:
        conn.request(method, path, None if body is None else json.dumps(body), headers)
        got = conn.getresponse()
        yield got.status, json.loads(got.read())
    conn.close()


def of_team(f: Function, others: set[str], answer: Any) -> bool:
    text = json.dumps(answer)
    return f.id in text and not any(other in text for other in others)


@pytest.mark.parametrize("cache_ms", ["3600000", "0"])
def test_many_teams_over_one_connection(house: House, cache_ms: str) -> None:
    """What is gathered into one transaction stays apart, with look-ups of keys and writes in between, and with a
    neighbour whose statements fail."""
    own = house.api({**UNLIMITED, "api.key_cache_ms": cache_ms, "postgres.pool_size": "1"})
    functions = [house.function(volumes=0) for _ in range(24)]
    poisoned = house.function(volumes=0)
    headers = {f.team: {"Authorization": f"Bearer {key}", "X-Team-ID": f.team} for key in [own.key(None)] for f in [*functions, poisoned]}
    house.stack.sql("UPDATE shared_gateway.functions_revisions SET restore_mounts = '{}' WHERE id = %s", (poisoned.active.id,))  # no array
    wrong: list[Any] = []

    def ask(i: int) -> None:
        f = functions[i]
        others = {x for g in functions if g is not f for x in (g.id, g.team)}
        stranger = functions[(i + 7) % len(functions)]
        round = [
            ("GET", f"{LIST}/{f.id}", None), ("GET", LIST, None), ("GET", f"{LIST}/{stranger.id}", None),
            ("GET", f"{LIST}/{f.slug}/runtime", None), ("PUT", f"{LIST}/{f.slug}", {"name": f"of {f.team}"}),
            ("POST", f"{LIST}/{stranger.slug}/runtime/recycle", None),
        ]  # fmt: skip
        for n, (status, answer) in enumerate(answers(own.port, headers[f.team], round * 40)):
            kind = n % len(round)
            good = status == 404 if kind in (2, 5) else status == 200 and of_team(f, others, answer)
            if not good:
                wrong.append((round[kind][:2], status, answer))

    def poison() -> None:
        for status, answer in answers(own.port, headers[poisoned.team], [("GET", f"{LIST}/{poisoned.id}/revisions", None)] * 200):
            if status == 200:
                wrong.append(("poisoned", status, answer))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(functions))] + [threading.Thread(target=poison)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]
    names = dict(house.stack.sql("SELECT id::text, name FROM shared_gateway.functions WHERE id::text = ANY (%s)", ([f.id for f in functions],)))
    assert names == {f.id: f"of {f.team}" for f in functions}
    assert set(house.states([f.active.sandbox for f in functions]).values()) == {"in_use"}


def test_one_round_of_many_teams(house: House) -> None:
    """The front stands still while forty teams ask: it then finds all of it in one round, and sends what fits into
    one transaction."""
    own = house.api({**UNLIMITED, "postgres.pool_size": "1"})
    functions = [house.function(volumes=0) for _ in range(40)]
    headers = [{"Authorization": f"Bearer {key}", "X-Team-ID": f.team} for key in [own.key(None)] for f in functions]
    conns = [http.client.HTTPConnection("127.0.0.1", own.port, timeout=60) for _ in functions]
    for _ in range(3):
        for verb in ("", "/runtime"):
            for conn, f, sent in zip(conns, functions, headers):  # the key is known and a connection open, before it counts
                conn.request("GET", f"{LIST}/{f.id}", headers=sent)
                assert conn.getresponse().read()
            own.process.popen.send_signal(signal.SIGSTOP)
            try:
                for conn, f, sent in zip(conns, functions, headers):
                    conn.request("GET", f"{LIST}/{f.slug}{verb}", headers=sent)
            finally:
                own.process.popen.send_signal(signal.SIGCONT)
            for conn, f in zip(conns, functions):
                got = conn.getresponse()
                answer = json.loads(got.read())
                assert got.status == 200 and of_team(f, {g.id for g in functions if g is not f}, answer), answer
    for conn in conns:
        conn.close()
