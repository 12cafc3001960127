"""What `eirhub doctor` looks at around a hub: its ports, disks, clock, queues and broker."""

import ctypes
import errno
import http.client
import os
import socket
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select

from dicom_router.forwarding.model import State
from hub_kernel.outbox_desk import Owed, owed
from hub_kernel.settings import Settings, TasksSettings
from hub_runtime.hub import Hub
from hub_runtime.own_tls import dicom_tls_context, web_tls_files
from image_archive.tables import STUDY

_CONNECT_S = 3.0
_LEAST_FREE = 0.05
_LATE = timedelta(minutes=10)
_APART = timedelta(seconds=1)
_AHEAD = timedelta(minutes=1)
_NOT_SYNCHRONISED = 0x40  # STA_UNSYNC of adjtimex(2)
_TIMEX_BYTES = 208
_STATUS_AT = 40
_BROKER_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (not to bind)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    ok: bool
    words: str


def ports(settings: Settings) -> Iterator[Finding]:
    """Say of every port whether it is listened on or could be."""
    doors = {
        "router.port": (settings.router.bind, settings.router.port),
        "web.port": (settings.web.bind, settings.web.port),
        "hl7.port": (settings.hl7.bind, settings.hl7.port),
        "monitor.port": (settings.monitor.bind, settings.monitor.port),
    }
    if dicom_tls_context(settings):
        doors["router.tls_port"] = (settings.router.bind, settings.router.tls_port)
    if web_tls_files(settings):
        doors["web.tls_port"] = (settings.web.bind, settings.web.tls_port)
    for name, (bind, port) in doors.items():
        if port:
            yield _port(name, bind, port)


def _port(name: str, bind: str, port: int) -> Finding:
    subject = f"{name} {port}"
    try:
        socket.create_connection((_EVERYWHERE.get(bind, bind), port), _CONNECT_S).close()
    except OSError:
        return _free_port(subject, bind, port)
    if name in {"web.port", "monitor.port"} and not _is_ours(_EVERYWHERE.get(bind, bind), port):
        words = "another program listens there: end it, or choose another port"
        return Finding(subject, ok=False, words=words)
    return Finding(subject, ok=True, words="is listened on")


def _free_port(subject: str, bind: str, port: int) -> Finding:
    try:
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        socket.create_server((bind, port), family=family).close()
    except OSError as error:
        advice = {
            errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, as the systemd unit gives",
            errno.EADDRNOTAVAIL: f"{bind} is no address of this machine; mend the setting of bind",
            errno.EADDRINUSE: "another program holds it: end it, or choose another port",
        }.get(error.errno or 0, "choose another port")
        return Finding(subject, ok=False, words=f"cannot be opened ({error.strerror}): {advice}")
    return Finding(subject, ok=True, words="is free; nothing listens there now")


def _is_ours(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().getheader("Server") == "eirhub"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def disks(folders: dict[str, Path], least_free: float = _LEAST_FREE) -> Iterator[Finding]:
    """Say of every volume below these folders how much room it has; each volume once."""
    seen: set[int] = set()
    for name, folder in folders.items():
        try:
            device, found = folder.stat().st_dev, os.statvfs(folder)
        except OSError as error:
            yield Finding(f"disk of {name}", ok=False, words=f"{folder}: {error.strerror}")
            continue
        if device in seen:
            continue
        seen.add(device)
        room = found.f_bavail / max(1, found.f_blocks)
        names = found.f_favail / found.f_files if found.f_files else 1.0
        words = f"{room:.0%} of the room and {names:.0%} of the file names are free"
        if min(room, names) < least_free:
            words += "; remove what is not the hub's, or move to a larger volume, before it is full"
        yield Finding(f"disk of {name}", ok=min(room, names) >= least_free, words=words)


def clock(hub: Hub) -> Iterator[Finding]:
    """Hold this machine's clock against the database's, against what is stored, and ask for NTP."""
    now, apart = hub.base.clock.now(), timedelta()
    shared = hub.database.engine.dialect.name == "postgresql"
    with hub.database.read() as session:
        if shared:
            theirs: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
            apart = abs(theirs - hub.base.clock.now())
        newest: datetime | None = session.scalar(select(func.max(STUDY.c.last_received_at)))
    if apart > _APART:
        words = f"differs from the database's by {apart.total_seconds():.1f} s: set both by NTP"
        yield Finding("clock", ok=False, words=f"{words}; leases and receipts count on them")
    if newest is not None and newest > now + _AHEAD:
        words = f"stands before the last receipt, {newest:%Y-%m-%d %H:%M} UTC: it was set back"
        yield Finding("clock", ok=False, words=f"{words}, or is wrong now; set it by NTP")
    if is_synchronised():
        yield Finding("time synchronisation", ok=True, words="the system says that it is kept")
        return
    words = "the system does not say that it is kept: install chrony"
    # One machine is right with itself; several must agree.
    yield Finding("time synchronisation", ok=not shared, words=words)


def is_synchronised() -> bool:
    """Return whether the kernel's clock is kept by NTP, as far as it is told."""
    about = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(about) < 0:
        return False
    status = int.from_bytes(about.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return not status & _NOT_SYNCHRONISED


def queues(hub: Hub) -> Iterator[Finding]:
    """Say what is owed to the hub's own parts and to its destinations, and what is parked."""
    with hub.database.read() as session:
        status = hub.base.outbox.status(session)
        waiting = owed(session)
    since = status.oldest_occurred_at
    if since is not None and hub.base.clock.now() - since > _LATE:
        words = f"{status.pending} deliveries wait, the oldest since {since:%Y-%m-%d %H:%M} UTC"
        advice = "start a worker; where one runs, its log says what it lacks"
        yield Finding("queue", ok=False, words=f"{words}: {advice}")
    else:
        yield Finding("queue", ok=True, words=f"{status.pending} deliveries wait")
    yield from _strangers(waiting, hub.base.outbox.subscribers)
    for one in waiting:
        if not one.parked:
            continue
        words = f"{one.parked} deliveries are parked, one of them: {one.reason[:200]}"
        advice = f"mend what is named there, then eirhub outbox retry {one.subscriber}"
        yield Finding(f"parked {one.subscriber}", ok=False, words=f"{words}; {advice}")
    for peer in hub.forwarding.desk.destinations():
        count = peer.counts.get(State.PARKED, 0)
        if count:
            words = f"{count} instances are parked, {peer.last_error or 'no error is noted'}"
            advice = f"eirhub router queue --destination {peer.name}, then eirhub router retry"
            yield Finding(f"destination {peer.name}", ok=False, words=f"{words}: {advice}")


def _strangers(waiting: Iterable[Owed], known: Container[str]) -> Iterator[Finding]:
    """Name what is owed to parts that this hub does not have: nobody will ever carry it."""
    for one in waiting:
        if one.pending and one.subscriber not in known:
            words = f"{one.pending} deliveries are owed to {one.subscriber}, which this hub has not"
            advice = "set again what was taken from its settings (router.rules, say), or upgrade it"
            yield Finding("queue", ok=False, words=f"{words}: {advice}")


def broker(tasks: TasksSettings, kinds: Iterable[str]) -> Iterator[Finding]:
    """Say whether the broker of `tasks.engine` answers, and what waits in the queues of `kinds`."""
    if tasks.engine != "celery":
        return
    found = urlsplit(tasks.broker_url)
    port = found.port or _BROKER_PORTS.get(found.scheme.partition("+")[0], 0)
    address = f"{found.hostname}:{port}"  # never the URL: it may hold a password
    try:
        # Optional, and slow to load.
        from hub_runtime.celery_queues import BrokerError, queue_states  # noqa: PLC0415
    except ImportError:
        words = 'Celery is not installed here: pip install "eirhub[celery]"'
        yield Finding("broker", ok=False, words=words)
        return
    try:
        states = queue_states(tasks.broker_url, kinds, _CONNECT_S)
    except BrokerError as error:
        words = f"{address} does not answer as a broker ({error}): start it, or mend"
        words += " tasks.broker_url: address, user, password, virtual host"
        yield Finding(
            "broker", ok=False, words=f"{words}. Until then the outbox keeps what is owed"
        )
        return
    waiting = [f"{one.name} {one.messages}" for one in states if one.messages]
    words = f"{address} answers; {len(states)} queues, " + (
        f"messages wait in {', '.join(waiting)}" if waiting else "no message waits"
    )
    yield Finding("broker", ok=True, words=words)
    left = [one.name for one in states if one.messages and one.takers == 0]
    if left:
        words = f"nobody takes from {', '.join(left)}: start a worker (eirhub worker)"
        yield Finding("broker queues", ok=False, words=words)
