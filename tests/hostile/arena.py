"""A real hub to attack: a process of its own with its sites, and what an attacker does to it."""

import http.client
import json
import shutil
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.dicom_router.wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    RawPeer,
    RequestParts,
    context_item,
    elements_of,
    p_data,
    store_rq,
)
from tests.hostile.datasets import CT, STUDY_ROOT, Raw, slice_of, text
from tests.image_archive.datasets import kept_files
from tests.support.assertions import AUDIENCE, ENTITY, ORGANIZATION
from tests.support.certificates import Authority, Certified
from tests.support.serving_hub import RunningHub, eirhub, running_hub
from tests.support.waiting import eventually

HOSTILE, HONEST = b"HOSTILE", b"HONEST"
# Short enough for a test, long enough for an honest peer on a crowded machine.
SETTINGS = (
    "router.association_timeout_s=2",
    "router.idle_timeout_s=3",
    "router.max_instance_bytes=67108864",
    "router.tls_port=0",
    "web.tls_port=0",
    "eir.decode_processes=1",
    "eir.decode_timeout_s=10",
)
_SITES = """
[[site]]
site_id = "hostile"
name = "Hostile"
ae_titles = ["HOSTILE"]
networks = ["127.0.0.0/8"]
assigning_authority = { namespace = "HOSTILE", oid = "1.2.3.1" }

[[site]]
site_id = "honest"
name = "Honest"
ae_titles = ["HONEST"]
networks = ["127.0.0.0/8"]
assigning_authority = { namespace = "HONEST", oid = "1.2.3.2" }

[[site]]
site_id = "far"
name = "Far away"
ae_titles = ["FAR"]
networks = ["10.9.0.0/16"]
assigning_authority = { namespace = "FAR", oid = "1.2.3.3" }
"""
_TRUST = f"""
audiences = ["{AUDIENCE}"]
[[issuers]]
entity_id = "{ENTITY}"
name = "idp"
certificates = ["idp.pem"]
confirmations = ["bearer"]
one_time = true
default_purpose = ""
roles = [{{ code = "112247003", system = "2.16.840.1.113883.6.96", role = "clinician" }}]
purposes = [{{ code = "TREATMENT", purpose = "treatment" }}]
organizations = [{{ id = "{ORGANIZATION}", sites = "region" }}]
"""


@dataclass(frozen=True)
class Answer:
    """What HTTP answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Arena:
    """A running hub; `base` holds its data folder, its log, and nothing else.

    `keys` holds a folder with the key pair of each site that has one; `idp` is who signs the
    assertions that the hub believes.
    """

    base: Path
    hub: RunningHub
    token: str
    keys: Path
    idp: Certified

    @property
    def log(self) -> Path:
        return self.base / "data.log"

    def half_received(self) -> bool:
        """Whether bytes wait in the folder of what comes in; idle spool files hold nothing."""
        try:
            kept = kept_files(self.base / "data" / "archive")
        except FileNotFoundError:  # one was settled while we looked
            return True
        return any(path.parent.name == "incoming" for path in kept)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the hub's database answers, read beside the hub."""
        path = f"file:{self.base / 'data' / 'eirhub.sqlite'}?mode=ro"
        database = sqlite3.connect(path, uri=True)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def get(
        self, path: str, *, timeout_s: float = 60, source: str = "127.0.0.1", **headers: str
    ) -> Answer:
        """GET `path` as a radiologist of the whole region, from the address `source`."""
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "*/*"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(path, None, sent, (source, timeout_s))

    def request(
        self, path: str, body: bytes | None, headers: dict[str, str], caller: tuple[str, float]
    ) -> Answer:
        """Ask for `path` with these headers, POST where there is a body; who calls, and waits."""
        address, (source, timeout_s) = urlsplit(self.hub.http), caller
        connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=timeout_s, source_address=(source, 0)
        )
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


@dataclass
class TlsPeer(RawPeer):
    """A peer that speaks TLS, with the key pair in the folder `keys`; None: without any."""

    authority: Path = Path()
    keys: Path | None = None

    def __enter__(self) -> "TlsPeer":
        super().__enter__()
        context = ssl.create_default_context(cafile=self.authority)
        if self.keys is not None:
            context.load_cert_chain(self.keys / "certificate.pem", self.keys / "key.pem")
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        except OSError:
            self.socket.close()
            raise
        return self


@contextmanager
def open_arena(
    folder: Path, *settings: str, program: tuple[str, ...] = ("-m", "hub_runtime.cli")
) -> Iterator[Arena]:
    """Start a hub with three sites: who attacks, who is honest, and one that is far away."""
    base = folder / "arena"
    base.mkdir()
    sites = folder / "sites.toml"
    sites.write_text(_SITES)
    data = base / "data"
    added = eirhub("site", "add", "--file", sites, data=data)
    assert added.returncode == 0, added.stderr
    for words in (
        ("certificate", "server", "--host", "localhost"),
        ("site", "certificate", "issue", "hostile", "--out", folder / "hostile"),
        ("site", "certificate", "issue", "honest", "--out", folder / "honest"),
    ):
        issued = eirhub(*words, data=data)
        assert issued.returncode == 0, issued.stderr
    roles = ("--role", "radiologist", "--role", "document_source")
    made = eirhub("token", "create", "reader", *roles, data=data)
    assert made.returncode == 0, made.stderr
    idp, trust = _trusted_issuer(folder)
    trusting = f"access.saml_trust={trust}"
    given = (*SETTINGS, trusting, *settings)
    with running_hub(data, *given, program=program, cwd=base) as hub:
        arena = Arena(base, hub, made.stdout.strip(), folder, idp)
        _warm_up(arena)
        yield arena
    shutil.rmtree(base)


def _trusted_issuer(folder: Path) -> tuple[Certified, Path]:
    """Make who signs assertions, and the file that says to believe them."""
    idp = Authority(folder).issue("idp", rsa_bits=2048)
    assert idp.certificate_file.exists()
    trust = folder / "trust.toml"
    trust.write_text(_TRUST)
    return idp, trust


def _warm_up(arena: Arena) -> None:
    """Use everything once as honest peers do: what is loaded at first use is no attack's doing."""
    first = Trial(arena, 0, HONEST)
    name = text(0x00100010, b"PN", "Li^Na=李^娜")
    assert first.store(first.dataset(name)) == "stored"
    assert first.get(f"{first.instance_url()}/rendered").status == 200
    for path in ("/patients?q=li", f"/studies/{first.study}/diagnostic", "/arrivals"):
        first.get(path, Accept="text/html")


@dataclass
class Trial:
    """One attack: it calls from an address of its own and stores under UIDs of its own."""

    arena: Arena
    number: int
    calling: bytes = HOSTILE
    patience_s: float = 60.0
    heard: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.{1 + self.number // 250}.{1 + self.number % 250}"

    @property
    def study(self) -> str:
        return f"{STUDY_ROOT}.{self.number}"

    def dataset(self, *changes: Raw, instance: int = 1, without: tuple[int, ...] = ()) -> bytes:
        """A CT slice of this attack's study, with elements replaced, added or left out."""
        return slice_of(self.study, instance, changes, without)

    def peer(self, port: int | None = None) -> RawPeer:
        return RawPeer(port or self.arena.hub.dicom_port, self.patience_s, self.address)

    def tls_peer(self, site: str | None) -> TlsPeer:
        """A peer on the TLS port with the certificate of `site`, or without one."""
        keys = self.arena.keys
        return TlsPeer(
            self.arena.hub.dicom_tls_port,
            self.patience_s,
            self.address,
            keys / "honest" / "ca.pem",
            keys / site if site else None,
        )

    def parts(self, *contexts: bytes, **changes: Any) -> RequestParts:
        """An association request of the caller's site: verification and CT, or `contexts`."""
        chosen = list(contexts) or [
            context_item(1, VERIFICATION, [IMPLICIT]),
            context_item(3, CT, [EXPLICIT]),
        ]
        return RequestParts(**{"calling": self.calling, "contexts": chosen} | changes)

    def ending(self, peer: RawPeer) -> str:
        """How the hub ends a connection, after whatever it still answers."""
        kind, body = self.hear(peer)
        while kind not in {0, ABORT, ASSOCIATE_RJ}:
            kind, body = self.hear(peer)
        if kind == ASSOCIATE_RJ:
            return "rejected"
        if kind == ABORT and self.hear(peer)[0] == 0:
            return "aborted"
        return "aborted" if body else "cut"

    def hear(self, peer: RawPeer) -> tuple[int, bytes]:
        kind, body = peer.pdu()
        self.heard.append(body)
        return kind, body

    def violate(self, data: bytes, *contexts: bytes) -> str:
        """Send `data` on an established association; how does it end?"""
        with self.peer() as peer:
            peer.send(self.parts(*contexts).encode())
            assert self.hear(peer)[0] == ASSOCIATE_AC
            self.push(peer, data)
            return self.ending(peer)

    def push(self, peer: RawPeer, data: bytes) -> None:
        """Send as much as the hub lets through."""
        try:
            peer.send(data)
        except ConnectionError:
            return

    def store(
        self,
        data: bytes,
        *,
        sop_instance_uid: str | None = None,
        sop_class_uid: str = CT,
        syntax: str = EXPLICIT,
    ) -> str:
        """C-STORE `data`; the status, and what became of the bytes."""
        uid = self.sop_uid() if sop_instance_uid is None else sop_instance_uid
        before = self.quarantined()
        with self.peer() as peer:
            peer.send(self.parts(context_item(3, sop_class_uid, [syntax])).encode())
            kind, body = self.hear(peer)
            if kind != ASSOCIATE_AC:
                return "rejected"
            if accepted_contexts(body) != {3}:
                return "context refused"
            self.push(peer, store_rq(uid, sop_class_uid=sop_class_uid))
            for at in range(0, len(data), 100_000):
                last = at + 100_000 >= len(data)
                self.push(peer, p_data(3, 2 if last else 0, data[at : at + 100_000]))
            if not data:
                self.push(peer, p_data(3, 2, b""))
            kind, body = self.hear(peer)
            if kind != 4:
                return "aborted"
        status = int.from_bytes(elements_of(body[6:])[0x0900], "little")
        kept = " and quarantined" if self.quarantined() > before else ""
        if status == 0:
            eventually(lambda: self.indexed(uid))
            return f"stored{kept}"
        return f"0x{status:04X}{kept}"

    def indexed(self, sop_instance_uid: str) -> bool:
        """Whether the index has the instance; it follows the answer a moment later."""
        found = "SELECT 1 FROM instance WHERE sop_instance_uid = ?"
        return bool(self.arena.rows(found, sop_instance_uid))

    def sop_uid(self, instance: int = 1) -> str:
        return f"{self.study}.1.{instance}"

    def quarantined(self) -> int:
        return int(self.arena.rows("SELECT count(*) FROM quarantine")[0][0])

    def get(self, path: str, **headers: str) -> Answer:
        return self.arena.get(path, source=self.address, **headers)

    def post(self, path: str, body: bytes, content_type: str, *, proven: bool = True) -> Answer:
        """POST as the reader of the whole region, who may submit too, or without any proof."""
        headers = {"Content-Type": content_type}
        if proven:
            headers["Authorization"] = f"Bearer {self.arena.token}"
        answer = self.arena.request(path, body, headers, (self.address, self.patience_s))
        self.heard.append(answer.body)
        return answer

    def instance_url(self, instance: int = 1) -> str:
        uid = self.sop_uid(instance)
        return f"/dicom-web/studies/{self.study}/series/{self.study}.1/instances/{uid}"

    def metadata(self, instance: int = 1) -> dict[str, Any]:
        """The JSON of one instance, taken from its study's, which must be valid JSON."""
        answer = self.get(f"/dicom-web/studies/{self.study}/metadata")
        assert answer.status == 200, answer.status
        found = {
            one["00080018"]["Value"][0]: one
            for one in json.loads(answer.body, parse_constant=_no_constant)
        }
        one: dict[str, Any] = found[self.sop_uid(instance)]
        return one


def accepted_contexts(acceptance: bytes) -> set[int]:
    """The presentation contexts that an A-ASSOCIATE-AC accepts."""
    accepted = set()
    at = 68
    while at + 8 <= len(acceptance):
        length = int.from_bytes(acceptance[at + 2 : at + 4], "big")
        if acceptance[at] == 0x21 and acceptance[at + 6] == 0:
            accepted.add(acceptance[at + 4])
        at += 4 + length
    return accepted


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
