"""A whole hub whose archive stands elsewhere, in a bucket or an Orthanc: that everything works."""

import hashlib
import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.dicom_router.instances import ct, encoded
from tests.support.pushing import Sent, push
from tests.support.serving_hub import RunningHub, eirhub, running_hub


@dataclass(frozen=True)
class HubElsewhere:
    """Where its data are, the settings that say where its archive is, what that one has.

    `stored` returns the SHA-256 of the dataset of every instance there, by its name there.
    """

    data: Path
    settings: list[str]
    stored: Callable[[], dict[str, str]]

    def command(self, *words: str) -> tuple[int, str]:
        """Run a command of the hub; its exit code and all it said."""
        options = [part for setting in self.settings for part in ("--set", setting)]
        ended = eirhub(*words, *options, data=self.data)
        return ended.returncode, ended.stdout + ended.stderr

    def receives_shows_and_verifies(self, study: str) -> None:
        """Push a study; read its metadata, bytes and a picture; find it there; verify it all."""
        instances = [ct(position, study) for position in range(1, 5)]
        sent = [Sent(str(one.SOPInstanceUID), encoded(one)) for one in instances]
        with running_hub(self.data, "router.accept_unknown_ae=true", *self.settings) as hub:
            assert set(push(hub.dicom_port, sent).values()) == {0}
            reader = self._reader(hub, study)
            assert len(json.loads(reader("/metadata", "application/dicom+json"))) == len(sent)
            retrieved = reader("", 'multipart/related; type="application/dicom"')
            assert all(bytes(one.dataset) in retrieved for one in sent)  # type: ignore[arg-type]
            series, instance = instances[0].SeriesInstanceUID, sent[0].sop_instance_uid
            picture = f"/series/{series}/instances/{instance}/rendered"
            assert reader(picture, "image/jpeg").startswith(b"\xff\xd8")
        assert digests(sent) == set(self.stored().values())
        assert self.command("archive", "verify")[0] == 0

    def _reader(self, hub: RunningHub, study: str) -> Callable[[str, str], bytes]:
        """Return what reads a path of the study in a media type as a radiologist."""
        _, made = self.command("token", "create", "reader", "--role", "radiologist")
        token = made.split()[0]

        def read(path: str, accept: str) -> bytes:
            headers = {"Authorization": f"Bearer {token}", "Accept": accept}
            address = f"{hub.http}/dicom-web/studies/{study}{path}"
            request = urllib.request.Request(address, headers=headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())

        return read


def digests(instances: list[Sent]) -> set[str]:
    """SHA-256 of the datasets that were sent."""
    return {hashlib.sha256(bytes(one.dataset)).hexdigest() for one in instances}  # type: ignore[arg-type]
