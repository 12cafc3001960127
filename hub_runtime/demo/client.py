"""A plain HTTP client for the demo: what any program outside the hub would use."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any

_TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, whatever its status."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class HttpClient:
    """Speaks to the hub at `base`, with cookies, as a machine with `token` where there is one."""

    def __init__(self, base: str, token: str = "") -> None:
        self._base = base
        self._token = token
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        # No proxies: the hub is on this machine, whatever the environment says.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)

    def get(self, path: str, **headers: str) -> Answer:
        """GET `path`; header names are written with underscores."""
        return self._send("GET", path, None, headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        """POST `body` to `path`."""
        return self._send("POST", path, body, headers)

    def post_form(self, path: str, **fields: str) -> Answer:
        """POST a form, as a browser does."""
        body = urllib.parse.urlencode(fields).encode()
        return self.post(path, body, Content_Type="application/x-www-form-urlencoded")

    def post_json(self, path: str, value: object) -> Answer:
        """POST `value` as JSON."""
        return self.post(path, json.dumps(value).encode(), Content_Type="application/json")

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        url = path if path.startswith("http") else self._base + path
        request = urllib.request.Request(url, body, method=method)  # noqa: S310 (own hub, http)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())
