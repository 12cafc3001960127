"""What lies in a far tier that cannot be reached is told so, in the reader's language."""

import pytest
from flask.testing import FlaskClient

from image_archive.errors import ArchiveBusyError, FarTierUnreachableError
from tests.viewer_api.region import Region


@pytest.mark.parametrize(("language", "said"), [("zh", "二级存储"), ("en", "second store")])
def test_a_far_tier_out_of_reach_is_named(
    region: Region,
    radiologist: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    said: str,
) -> None:
    def advice(failure: Exception) -> str:
        def fail(*_: object, **__: object) -> None:
            raise failure

        monkeypatch.setattr(type(region.hub.index), "find", fail)
        answer = radiologist.get("/dicom-web/studies", headers={"Accept-Language": language})
        assert answer.status_code == 503
        return str(answer.get_json()["error"]["advice"])

    assert said in advice(FarTierUnreachableError("far"))
    assert said not in advice(ArchiveBusyError("busy"))
