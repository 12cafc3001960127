"""Requests behind a proxy: believed where the settings name the proxy, and nowhere else."""

import http.client
from collections.abc import Callable, Iterable, Iterator

import pytest

from hub_kernel.settings import WebSettings
from hub_runtime.http_server import HttpServer

PROXY = "127.0.0.2"


def _who_asks(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    claims = [name for name in environ if "FORWARDED" in name]
    said = (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], *claims)
    return [" ".join(said).encode()]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = HttpServer(_who_asks, WebSettings(port=0, proxies=(f"{PROXY}/32", "10.0.0.0/24")))
    yield int(server.start().rpartition(":")[2])
    server.stop()


def asked(
    port: int, headers: dict[str, str], source: str = PROXY, path: str = "/"
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, 30, source_address=(source, 0))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("1.2.3.4, 192.0.2.7", "192.0.2.7"),  # who asks had written the first
        ("192.0.2.7, 10.0.0.9", "192.0.2.7"),  # a proxy before the proxy
        ("rubbish, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.9", "10.0.0.9"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_last_address_that_is_no_proxys_asks(port: int, said: str, client: str) -> None:
    assert asked(port, {"X-Forwarded-For": said}) == (200, f"{client} http")


def test_a_proxy_says_whether_the_client_speaks_tls(port: int) -> None:
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    assert asked(port, headers) == (200, "192.0.2.7 https")


@pytest.mark.parametrize("said", [None, "", "unknown", "192.0.2.7:80", "192.0.2.7, rubbish"])
def test_a_proxy_that_does_not_say_who_asks_is_refused(port: int, said: str | None) -> None:
    headers = {} if said is None else {"X-Forwarded-For": said}
    assert asked(port, headers)[0] == 400


def test_a_proxy_may_look_whether_the_hub_lives(port: int) -> None:
    assert asked(port, {}, path="/readyz")[0] == 200


def test_nobody_else_is_believed(port: int) -> None:
    headers = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=192.0.2.7",
    }
    assert asked(port, headers, source="127.0.0.1") == (200, "127.0.0.1 http")
