"""The end of the log says what was run, and how to run it again."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("SANDSWEEP_TEST_KAFKA", "mock")  # nothing here is about Kafka


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports(""):
        for name, value in getattr(report, "user_properties", []):
            terminalreporter.write_line(f"{name}: {value}")
