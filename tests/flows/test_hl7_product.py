"""The HL7 doors of a running product: `eirhub serve`, and `eirhub hl7` with TLS beside it."""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from queue import Queue

import pytest

from hub_runtime.demo.client import HttpClient
from tests.patient_index.hl7v2.messages import adt, pdq, pix
from tests.patient_index.hl7v2.wire import connected, repetitions, value
from tests.support.tools import require_tool

ROOT = Path(__file__).resolve().parents[2]
READY_S = 120
PASSWORD = "Correct-horse-7-battery"
OID = "1.2.826.0.1.3680043.10.1717.901"
SETTINGS = f"""
[hl7]
port = 0
[web]
port = 0
[router]
port = 0
[viewer]
port = 0
[[identity.domains]]
namespace = "EAST"
oid = "{OID}"
senders = ["HIS|EAST"]
"""
WRONG = adt("2^^^EASTERN||赵^铁柱||19700101|M", control_id="wrong-1", version="2.5")


@dataclass(frozen=True)
class Product:
    """Where its doors are, and how its commands are called."""

    data: Path
    config: Path
    http: str
    plain: int
    secure: int
    certificate: Path

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


def command(data: Path, config: Path, *words: str) -> list[str]:
    files = ["--data", str(data), "--config", str(config)]
    return [sys.executable, "-m", "hub_runtime.cli", *words, *files]


@contextmanager
def started(data: Path, config: Path, *words: str) -> Iterator[str]:
    """Run a command until the block ends; gives its ready line."""
    with (data.parent / f"{words[0]}.log").open("a") as log:
        process = subprocess.Popen(
            command(data, config, *words),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout
    lines: Queue[str] = Queue()
    reading = threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True)
    reading.start()
    try:
        line = lines.get(timeout=READY_S)
        assert "eirhub ready" in line, line
        yield line
    finally:
        process.terminate()
        ended = process.wait(READY_S)
        process.stdout.close()
    # A signal in the moment after the ready line finds no handler yet.
    assert ended in {0, -signal.SIGTERM}


def port_of(line: str) -> int:
    found = re.search(r"hl7=[0-9.]+:([0-9]+)", line)
    assert found, line
    return int(found[1])


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("product")
    data, config = folder / "data", folder / "hub.toml"
    config.write_text(SETTINGS, encoding="utf-8")
    key, certificate = folder / "hub.key", folder / "hub.pem"
    subject = ["-subj", "/CN=hub", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    openssl = [require_tool("openssl"), "req", "-x509", "-days", "2", *curve, *files, *subject]
    subprocess.run(openssl, check=True, capture_output=True)
    registrar = command(data, config, "user", "add", "registrar", "--role", "registrar")
    subprocess.run(
        [*registrar, "--password-stdin"],
        cwd=ROOT, check=True, input=f"{PASSWORD}\n", text=True, capture_output=True,
    )  # fmt: skip
    tls = ("--set", f"hl7.tls_certificate={certificate}", "--set", f"hl7.tls_key={key}")
    with (
        started(data, config, "serve") as serving,
        started(data, config, "hl7", *tls) as listening,
    ):
        http = re.search(r"http=(\S+)", serving)
        assert http
        ports = port_of(serving), port_of(listening)
        yield Product(data, config, http[1], *ports, certificate)


def test_feed_pix_and_pdq_travel_over_tls_and_both_doors_know_the_same(product: Product) -> None:
    message = adt("1^^^EAST||王^小东||19850312|M|||泗泾镇1号^^上海", control_id="t1")
    with connected(product.secure, tls=product.tls()) as sender:
        first, again = sender.ask(message), sender.ask(message)
        assert [value(one, "MSA.1") for one in (first, again)] == ["AA", "AA"]
        crossed = sender.ask(pix("1^^^EAST"))
        assert value(crossed, "QAK.2") == "OK"
        found = sender.ask(pdq("@PID.5.1^王~@PID.5.2^小东", charset="UNICODE UTF-8"))
        assert (value(found, "QAK.2"), value(found, "PID.5.1")) == ("OK", "王")
    with connected(product.plain) as sender:
        assert repetitions(sender.ask(pix("1^^^EAST")), "PID", 3) == repetitions(crossed, "PID", 3)
        assert value(sender.ask(message), "MSA.1") == "AA", "repeated at the other door"
        assert repetitions(sender.ask(pix("1^^^EAST")), "PID", 3) == repetitions(crossed, "PID", 3)


def test_a_plain_sender_is_not_served_where_tls_is_spoken(product: Product) -> None:
    with connected(product.secure) as sender:
        sender.send(pix("1^^^EAST"))
        assert b"MSA" not in sender.raw_answer()


def test_a_refused_message_is_named_kept_corrected_and_replayed_from_the_page(
    product: Product,
) -> None:
    with connected(product.secure, tls=product.tls()) as sender:
        refused = sender.ask(WRONG)
    assert value(refused, "MSA.1") == "AR"
    assert repetitions(refused, "ERR", 2) == ["PID^1^3^1^4"]
    assert "assigning authority is not known" in value(refused, "ERR.7")
    assert "标识发放机构未登记" in value(refused, "ERR.8")

    browser = signed_in(product)
    listed = browser.get("/identity/messages").text
    [url] = set(re.findall(r'href="(/identity/messages/[0-9]+)"', listed))
    page = browser.get(url, Accept_Language="en").text
    assert "标识发放机构未登记" in browser.get(url, Accept_Language="zh").text
    assert "assigning authority is not known" in page
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert text
    corrected = unescape(text[1]).strip().replace("EASTERN", "EAST")
    answer = browser.post_form(f"{url}/replay", csrf_token=token(page), text=corrected)
    assert answer.status == 200, answer.text
    assert f'href="{url}"' not in browser.get("/identity/messages").text
    assert f'href="{url}"' in browser.get("/identity/messages?state=replayed").text
    with connected(product.plain) as sender:
        assert value(sender.ask(pix("2^^^EAST")), "QAK.2") == "OK"


def test_a_listener_that_others_reach_does_not_start_without_rules(product: Product) -> None:
    everywhere = ("--set", "hl7.bind=" + ".".join("0000"))
    refused = subprocess.run(
        command(product.data, product.config, "hl7", *everywhere),
        cwd=ROOT, capture_output=True, text=True, timeout=READY_S, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "hl7.bind is" in refused.stderr
    assert "hl7.any_address" in refused.stderr
    assert "冒充" in refused.stderr
    assert "Traceback" not in refused.stderr
    said = ("--set", "hl7.any_address=true")
    with (
        started(product.data, product.config, "hl7", *everywhere, *said) as line,
        connected(port_of(line)) as sender,
    ):
        assert value(sender.ask(pix("404^^^EAST")), "QAK.2") == "AE"


def signed_in(product: Product) -> HttpClient:
    browser = HttpClient(product.http)
    page = browser.get("/sign-in", Accept_Language="en").text
    answer = browser.post_form(
        "/sign-in", csrf_token=token(page), username="registrar", password=PASSWORD
    )
    assert answer.status == 200, answer.text
    return browser


def token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]
