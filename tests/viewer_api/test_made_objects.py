"""What is made anew on its way out, before an independent judge: dciodvfy of dicom3tools."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.dicom_judge import faults
from tests.viewer_api.region import Region


@pytest.mark.parametrize("name", ["ct", "mr_multiframe", "us_colour"])
def test_a_decoded_instance_has_no_fault_that_the_stored_one_has_not(
    region: Region, radiologist: FlaskClient, tmp_path: Path, name: str
) -> None:
    shown = getattr(region, name)
    decoded = radiologist.get(
        shown.url,
        headers={"Accept": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"},
        buffered=True,
    )
    assert decoded.status_code == 200
    stored = faults(tmp_path / "stored.dcm", shown.data)
    assert faults(tmp_path / "decoded.dcm", decoded.data) <= stored
    # The control: the judge sees what is spoilt.
    spoilt = decoded.data.replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x61\x00CS", 1)
    assert faults(tmp_path / "spoilt.dcm", spoilt) - stored
