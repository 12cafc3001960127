"""An independent fuzzer, schemathesis, over the API as it describes itself."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from access_control.model import Role
from tests.viewer_api.region import Region

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def described(region: Region) -> Any:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", region.app)


# Who asks: a reader of one site, and who may do everything everywhere.
@pytest.fixture(
    scope="module",
    params=["reader", pytest.param("everybody", marks=pytest.mark.long)],
)
def token(machine: Callable[..., FlaskClient], request: pytest.FixtureRequest) -> str:
    reads = request.param == "reader"
    client = machine(Role.RADIOLOGIST, sites=("sijing",)) if reads else machine(*Role)
    return str(client.environ_base["HTTP_AUTHORIZATION"])


def test_the_api_answers_as_it_says_whatever_it_is_sent(described: Any, token: str) -> None:
    asked = set()
    for found in described.get_all_operations():
        operation = found.ok()
        asked.add(operation.label)

        @settings(
            max_examples=5,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(headers={"Authorization": token}, checks=CHECKS)

        ask()
    assert len(asked) > 15
