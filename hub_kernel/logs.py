"""Log lines as JSON objects or plain text, one line each, whatever a peer has put into a value.

Patient data never goes into a log line: callers log UIDs, site and counts, and SQL parameters are
hidden by the database layer.
"""

import json
import logging
import sys
import warnings
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever came in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; control characters are escaped by JSON itself."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, message, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; line breaks inside a value are escaped."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        extra = "".join(
            f" {key}={value}" for key, value in vars(record).items() if key not in _STANDARD
        )
        line = f"{time} {record.levelname:7} {record.name}: {record.getMessage()}{extra}"
        line = line.encode("unicode_escape").decode("ascii") if not line.isprintable() else line
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def configure_logging(log_format: str, level: str) -> None:
    """Send every log line of the process to standard error in that format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What pydicom and pynetdicom complain about they quote, and it came from a patient's dataset.
    warnings.filterwarnings("ignore", module="pydicom")
    for quoting in ("pynetdicom", "pydicom"):
        logging.getLogger(quoting).setLevel(logging.CRITICAL)
    for talkative in ("waitress", "alembic"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, root.level))
