import json
import logging

import pytest

from hub_kernel.logs import JsonFormatter, TextFormatter

HOSTILE = "AE\r\n2026-01-01 INFO forged line\x1b[31m$(id)"


def _record(**extra: object) -> logging.LogRecord:
    logger = logging.getLogger("test")
    return logger.makeRecord(
        "test", logging.INFO, "f", 1, "association %s", ("asked",), None, extra=extra
    )


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_hostile_value_stays_inside_its_one_line(formatter: logging.Formatter) -> None:
    line = formatter.format(_record(calling_ae_title=HOSTILE))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_a_json_line_holds_time_level_and_extra_fields() -> None:
    line = json.loads(JsonFormatter().format(_record(site="sijing", instances=3)))
    assert line["message"] == "association asked"
    assert (line["site"], line["instances"], line["level"]) == ("sijing", 3, "INFO")
    assert line["time"].endswith("+00:00")
