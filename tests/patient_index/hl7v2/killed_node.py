"""Run an HL7 v2 node that kills itself at a named point: `killed_node.py DATABASE POINT`.

POINT is `received` (before anything is done), `commit` (with the transaction open), `carried-out`
(committed, nothing recorded), `recorded` (the acknowledgement is not sent) or `never`.
"""

import os
import signal
import sys
from collections.abc import Callable

from sqlalchemy import event

from hub_kernel.database import Database
from patient_index.hl7v2.connection import Connection
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from patient_index.hl7v2.service import Hl7Service
from tests.patient_index.hl7v2.conftest import CARDS, EAST, NATIONAL, WEST, build_region


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, point: str) -> None:
    database = Database(url)
    database.create_all()
    region = build_region(database, (EAST, WEST, CARDS, NATIONAL))
    arm: dict[str, Callable[[], object]] = {
        "never": lambda: None,
        "received": lambda: setattr(Hl7Service, "answer", die),
        "commit": lambda: event.listen(database.engine, "commit", die),
        "carried-out": lambda: region.on_audit(die),
        "recorded": lambda: setattr(Connection, "send", die),
    }
    arm[point]()
    node = Hl7Node(NodeSettings(port=0), region.service)
    sys.stdout.write(f"{node.start()}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
