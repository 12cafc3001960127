"""Markup, templates and formulas in every text of a study are inert on every page there is.

The routes are taken from the application itself, so a new page is tested on the day it appears.
"""

import html
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from access_control.model import Role
from hub_runtime.hub import Hub
from image_archive.file_meta import write_file_meta
from image_archive.model import IncomingHeader
from tests.hostile.cases_text import in_every_text
from tests.hostile.datasets import CT, slice_of
from tests.viewer_api.region import new_hub, origin_of, settle, web_app
from tests.viewer_api.test_security_matrix import Target, values_of

EXPLICIT = "1.2.840.10008.1.2.1"
STUDY = "1.2.826.0.1.3680043.10.1603.56"
WORDS = "=1+1<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}"
_TELLTALE = "<script>alert(1)"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = new_hub(tmp_path_factory.mktemp("pages"))
    site = hub.access.sites.get("sijing")
    hub.access.sites.add(replace(site, name=WORDS[:60], name_en=WORDS[:60]), replace=True)
    header = IncomingHeader(CT, f"{STUDY}.1.1", EXPLICIT, origin_of(site))
    dataset = slice_of(STUDY, 1, in_every_text(WORDS))
    file = io.BytesIO(write_file_meta(header, datetime.now(UTC)) + dataset)
    hub.archive.store_file(file.getvalue(), origin_of(site))
    settle(hub, 1)
    yield hub
    hub.close()


@pytest.mark.parametrize("role", list(Role))
def test_hostile_text_is_inert_on_every_page(hub: Hub, role: Role) -> None:
    app = web_app(hub)
    token = hub.access.tokens.create(
        f"walker {role}", [role], None, datetime.now(UTC) + timedelta(days=1)
    )
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    values = values_of(_target(hub), "0")
    adapter = app.url_map.bind("localhost")
    shown = pages = 0
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()):
            continue
        url = adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        answer = client.get(
            url, headers={"Accept": "text/html"}, query_string={"q": "1"}, buffered=True
        )
        assert answer.status_code < 500, (url, answer.status_code)
        assert "csv" not in answer.mimetype, "prefix what a spreadsheet would compute, test it here"
        if answer.mimetype != "text/html":
            continue
        pages += 1
        text = answer.get_data(as_text=True)
        assert _TELLTALE not in text, url
        assert "<img src=x" not in text, url
        assert "alert(2)>49" not in text, url
        shown += _TELLTALE in html.unescape(text)
    assert pages >= 5
    if role in {Role.RADIOLOGIST, Role.CLINICIAN}:
        assert shown >= 3, "the control: hardly a page shows the words at all"


def _target(hub: Hub) -> Target:
    study = hub.index.study(STUDY)
    assert study is not None
    global_id = hub.patients.resolve(study.patient)
    manifest = hub.registry.manifest_of(STUDY)
    assert global_id is not None
    assert manifest is not None
    entry_id = manifest.entry_uuid.removeprefix("urn:uuid:")
    shown = _Shown(STUDY, f"{STUDY}.1", f"{STUDY}.1.1")
    return Target(shown, global_id, (), entry_id)  # type: ignore[arg-type]


class _Shown:
    """Where the hostile instance is found."""

    def __init__(self, study: str, series: str, instance: str) -> None:
        self.study, self.series, self.instance = study, series, instance
