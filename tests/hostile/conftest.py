"""The summary that the table of bad inputs prints: case, outcome, seconds, memory."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what every case of the table did; the properties come from the workers too."""
    lines = {
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "bad input"
    }
    if lines:
        terminalreporter.section("bad inputs: case, outcome, seconds, growth of memory")
        for line in sorted(lines):
            terminalreporter.write_line(line)
