"""The private stack of scripts/stack, for tests: PostgreSQL, Kafka and the platform simulator."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import psycopg2

ROOT = Path(__file__).resolve().parents[2]

Part = Literal["pg", "kafka", "sim"]
Action = Literal["start", "stop", "kill", "restart"]
T = TypeVar("T")

SEND = ("-X", "message.timeout.ms=20000")  # for kcat: give up on a dead broker
FETCH = ("-X", "fetch.wait.max.ms=20")  # for kcat: do not linger at the end of a topic


class StackError(Exception):
    """A command of the stack failed; the text is what it said."""


class Stack:
    """One stack in one directory. `with Stack() as stack:` brings it up and takes it down.

    Without `directory` one is made below /tmp, and removed at the end if nothing went wrong. (pytest's
    tmp_path will not do for root: the user postgres cannot enter it.)
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        kafka: Literal["mock", "real"] = "mock",
        sim: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`environ`: STACK_BUILD, STACK_TOPICS, STACK_FSYNC, ... see scripts/stack."""
        self._temporary = directory is None
        self.dir = Path(directory or tempfile.mkdtemp(prefix="sandsweep-", dir="/tmp"))
        self._up = ["up", "--kafka", kafka] + ([] if sim else ["--no-sim"])
        self._environ = {**os.environ, **(environ or {})}
        self._kept = threading.local()

    def __enter__(self) -> Stack:
        self.up()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.down()
        if self._temporary and failed is None:
            shutil.rmtree(self.dir)

    # -- the parts

    def _run(self, *args: str) -> str:
        return _run([str(ROOT / "scripts" / "stack"), str(self.dir), *args], env=self._environ)

    def up(self) -> None:
        """Starts every part that does not run, and returns when each answers."""
        self._run(*self._up)

    def down(self) -> None:
        """Stops every part. The data stays for the next up()."""
        self._run("down")

    def act(self, part: Part, action: Action) -> None:
        """Starts, stops (in order), kills (at once) or restarts one part, on the port it had."""
        self._kept = threading.local()
        self._run(part, action)

    def pg(self, action: Action) -> None:
        """act() on PostgreSQL; kill is its immediate mode."""
        self.act("pg", action)

    def kafka(self, action: Action) -> None:
        """act() on the broker; kill is SIGKILL. The mock broker forgets everything."""
        self.act("kafka", action)

    def sim(self, action: Action) -> None:
        """act() on the platform simulator; kill is SIGKILL."""
        self.act("sim", action)

    def pid(self, part: Part) -> int:
        """The process of a part, as it was last started."""
        return int((self.dir / f"{part}.pid").read_text().split()[0])

    @property
    def env(self) -> dict[str, str]:
        """Where everything is: SANDSWEEP_PG_DSN, KAFKA_BOOTSTRAP, SIM_URL, ..."""
        lines = (self.dir / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    # -- PostgreSQL

    def connect(self) -> Any:
        """A new autocommit connection, the caller's to close."""
        conn = psycopg2.connect(self.env["SANDSWEEP_PG_DSN"], connect_timeout=10)
        conn.autocommit = True
        return conn

    def _session(self) -> Any:
        """The connection that this thread keeps: a new backend for each statement would cost more than most statements."""
        if not hasattr(self._kept, "conn"):
            self._kept.conn = self.connect()
        return self._kept.conn

    def sql(self, text: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Runs `text`, which leaves no setting and no transaction behind; returns the rows, [] if it gives none."""
        try:
            with self._session().cursor() as cur:
                cur.execute(text, params)
                return cur.fetchall() if cur.description else []
        except psycopg2.Error:
            self._kept = threading.local()
            raise

    # -- Kafka

    def _kcat(self, *args: str) -> str:
        return _run(["kcat", "-b", self.env["KAFKA_BOOTSTRAP"], "-m", "10", *args])

    def kcat_produce(
        self,
        topic: str,
        key: str | None,
        value: str | bytes | None,
        headers: Mapping[str, str] | None = None,
        partition: int | None = None,
    ) -> None:
        """Sends one message and waits until the broker has it. Value None is a tombstone."""
        options = ["-P", *SEND, "-t", topic, "-Z"]
        if key is not None:
            options += ["-k", key]
        if partition is not None:
            options += ["-p", str(partition)]
        for name, text in (headers or {}).items():
            options += ["-H", f"{name}={text}"]
        with tempfile.NamedTemporaryFile(dir=self.dir) as file:  # kcat sends a whole file as one message
            file.write(value.encode() if isinstance(value, str) else value or b"")
            file.flush()
            self._kcat(*options, file.name)

    def kcat_produce_many(self, topic: str, rows: Iterable[tuple[str, str]]) -> None:
        """Sends (key, value) rows in one go; no tab in a key, no line end in either."""
        with tempfile.NamedTemporaryFile("w", dir=self.dir) as file:
            file.writelines(f"{key}\t{value}\n" for key, value in rows)
            file.flush()
            self._kcat("-P", *SEND, "-t", topic, "-K", "\t", "-l", file.name)

    def kcat_consume(self, topic: str, partition: int | None = None, offset: str = "beginning") -> list[dict[str, Any]]:
        """Every message from `offset` to the end of the topic, in order within a partition.

        Each has key and value (str or None), headers (list of pairs: a name may repeat), topic,
        partition, offset and timestamp_ms.
        """
        options = ["-C", *FETCH, "-t", topic, "-o", offset, "-e", "-q", "-J"]
        if partition is not None:
            options += ["-p", str(partition)]
        return [_message(json.loads(line)) for line in self._kcat(*options).splitlines()]

    def broker(self, command: str) -> None:
        """One command for the mock broker: `errors 0 6 3`, `rtt 200`, `down`, `up`, ...

        The commands are listed in tests/broker/mockbroker.c. Raises StackError if it refuses.
        """
        directory = os.open(self.dir / "kafka", os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(f"/proc/self/fd/{directory}/control")  # a socket's path is short, ours need not be
                sock.sendall(command.encode() + b"\n")
                answer = sock.makefile().readline().rstrip("\n")
        finally:
            os.close(directory)
        if answer != "ok":
            raise StackError(f"mock broker, {command!r}: {answer or 'connection closed'}")


class _Elsewhere(Stack):
    """The same stack, with another database or another login in place of its own."""

    def __init__(self, stack: Stack, dsn: str) -> None:
        self.dir = stack.dir
        self._stack, self._dsn = stack, dsn

    def up(self) -> None:
        raise StackError("the stack itself is brought up and down")

    down = up

    def _session(self) -> Any:
        """A new one for each statement: databases and logins come and go."""
        return self.connect()

    @property
    def env(self) -> dict[str, str]:
        return {**self._stack.env, "SANDSWEEP_PG_DSN": self._dsn}


def logged_in(stack: Stack, *, database: str | None = None, user: str | None = None) -> Stack:
    """The same stack as another login sees it, or with another of its databases."""
    dsn = stack.env["SANDSWEEP_PG_DSN"]
    for key, value in (("dbname", database), ("user", user)):
        dsn = re.sub(rf"\b{key}=\S+", f"{key}={value}", dsn) if value else dsn
    return _Elsewhere(stack, dsn)


@contextlib.contextmanager
def elsewhere(stack: Stack, database: str) -> Iterator[Stack]:
    """The same stack with a new database, which goes at the end."""
    stack.sql(f"CREATE DATABASE {database}")
    try:
        yield logged_in(stack, database=database)
    finally:
        stack.sql(f"DROP DATABASE {database} WITH (FORCE)")


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise StackError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _message(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One line of kcat -J, by our names."""
    flat = raw.get("headers") or []
    return {
        "key": raw.get("key"),
        "value": raw.get("payload"),
        "headers": list(zip(flat[::2], flat[1::2])),
        "topic": raw["topic"],
        "partition": raw["partition"],
        "offset": raw["offset"],
        "timestamp_ms": raw["ts"],
    }


def wait_until(fn: Callable[[], T], what: str, timeout: float = 30, every: float = 0.05) -> T:
    """Calls `fn` until its answer is true, and returns that answer; an exception of fn passes through."""
    deadline = time.monotonic() + timeout
    while not (answer := fn()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what} (last answer: {answer!r})")
        time.sleep(every)
    return answer


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, below those that outgoing connections are given."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(20000, low if low > 21000 else 32768)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise StackError("no free port")
