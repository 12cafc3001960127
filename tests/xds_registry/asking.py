"""A fixture that asks stored queries as a system of the whole region would."""

from collections.abc import Callable

import pytest
from lxml import etree

from tests.xds_registry import wire
from tests.xds_registry.hub import Hub, Web

Ask = Callable[..., etree._Element]


@pytest.fixture
def ask(hub: Hub, web: Web) -> Ask:
    token = hub.token("region", None)

    def asking(
        query_id: str,
        *slots: tuple[str, str],
        return_type: str = "LeafClass",
        by: str = token,
        action: str = wire.ITI18,
        home: str = "",
    ) -> etree._Element:
        message = wire.query(query_id, slots, return_type, action=action, home=home)
        response = web.post(web.registry, message, by)
        assert response.status_code == 200, response.text
        return wire.payload(response)

    return asking
