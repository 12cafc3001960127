"""Run an HL7 v2 node that kills itself at a named point: `killed_node.py DATABASE POINT`.

POINT is `received` (before anything is done), `carried-out` (the change is made in a transaction,
not yet on record), `commit` (both are, and the transaction is open), `recorded` (committed, the
acknowledgement is not sent) or `never`.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import event
from sqlalchemy.orm import Session

from access_control.audit import AuditTrail
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_runtime.hl7_node import ExchangeAudit
from patient_index.hl7v2.connection import Connection
from patient_index.hl7v2.exchange import ExchangeRecord
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from patient_index.hl7v2.service import Hl7Service
from tests.patient_index.hl7v2.conftest import CARDS, EAST, NATIONAL, WEST, build_region


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def trail_of(database: Database) -> AuditTrail:
    """The audit trail as the node writes it."""
    return AuditTrail(database, SystemClock(), b"k" * 32)


def main(url: str, point: str) -> None:
    database = Database(url)
    database.create_all()
    region = build_region(database, (EAST, WEST, CARDS, NATIONAL))
    on_record = ExchangeAudit(database, trail_of(database))

    def audit(record: ExchangeRecord, session: Session | None = None) -> None:
        region.parts.audit(record, session)
        on_record(record, session)

    service = Hl7Service(replace(region.parts, audit=audit))
    arm: dict[str, Callable[[], object]] = {
        "never": lambda: None,
        "received": lambda: setattr(Hl7Service, "answer", die),
        "commit": lambda: event.listen(database.engine, "commit", die),
        "carried-out": lambda: region.on_audit(die),
        "recorded": lambda: setattr(Connection, "send", die),
    }
    arm[point]()
    node = Hl7Node(NodeSettings(port=0), service)
    sys.stdout.write(f"{node.start()}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
