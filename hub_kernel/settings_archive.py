"""Settings of the central archive: where its bytes are."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from hub_kernel.settings_types import Seconds, Section


class ArchiveSettings(Section):
    """The central archive."""

    backend: Literal["filesystem", "s3", "orthanc"] = "filesystem"
    """What holds the bytes: a folder, a bucket (`[s3]`), or an Orthanc (`[orthanc]`)."""
    path: Path | None = None
    """Folder of the archive, or of what is not in bucket or Orthanc; else `archive` in data_dir."""
    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    """Name of this machine, where several share the folder: what arrives here waits apart."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 268_435_456
    """With less free space every C-STORE answers A700, so that the database can still write."""
    quarantine_days: Annotated[int, Field(ge=1)] = 90
    """Days that parked bytes are kept after a person has decided about them."""
    compact_after_days: Annotated[int, Field(ge=0)] = 0
    """Days after which an instance becomes a lossless master that restores it; 0 means never."""
    compact_modalities: tuple[str, ...] = ()
    """Modalities that are compacted by themselves; empty means all."""
    compact_per_minute: Annotated[int, Field(ge=1)] = 400
    """Instances looked at in one minute: a district receives 327 a minute, day and night."""
    tier_after_days: Annotated[int, Field(ge=0)] = 0
    """Days after which an instance goes from the folder to the bucket of `[s3]`; 0 means never."""
    tier_modalities: tuple[str, ...] = ()
    """Modalities that go there; empty means all."""
    tier_grace_days: Annotated[float, Field(ge=0)] = 7.0
    """Days that the copy in the folder stays beside it, and that one read again comes back for."""
    tier_per_minute: Annotated[int, Field(ge=1)] = 400
    """Instances that go there in one minute, as `compact_per_minute`."""


class S3Settings(Section):
    """The bucket of the archive (`archive.backend = "s3"`), or of its far tier."""

    bucket: str = ""
    """Name of the bucket; it must exist."""
    endpoint: str = ""
    """URL of the object store; empty means Amazon's own of the region."""
    region: str = "us-east-1"
    """Region; servers of one's own take any."""
    prefix: str = ""
    """Folder inside the bucket, for a bucket that is shared."""
    access_key_id: str = ""
    """Who asks; empty takes what the environment or the machine offers (AWS_… variables, role)."""
    secret_access_key_file: Path | None = None
    """File with the secret of that key."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """What the server encrypts objects with; empty leaves it to the bucket's own rule."""
    kms_key_id: str = ""
    """Key for `aws:kms`."""
    timeout_s: Seconds = 60.0
    """Longest wait for one request, its repetitions included."""
    uploads: Annotated[int, Field(ge=1, le=64)] = 8
    """Objects uploaded at once."""

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str) -> str:
        """Refuse what is no URL of a server alone."""
        return _server_url(endpoint, "https://objects.example.org")


class OrthancSettings(Section):
    """The Orthanc of the archive, with `archive.backend = "orthanc"`."""

    url: str = ""
    """URL of its REST API, as http://127.0.0.1:8042."""
    user: str = "eirhub"
    """Who asks: a name of its `RegisteredUsers`; empty where it asks for none."""
    password_file: Path | None = None
    """File with that user's password, which is the hub's token at Orthanc."""
    timeout_s: Seconds = 60.0
    """Longest wait for one answer."""
    uploads: Annotated[int, Field(ge=1, le=64)] = 8
    """Instances handed over at once."""
    adopt: bool = True
    """Whether what comes to Orthanc by itself becomes the hub's."""
    poll_s: Seconds = 1.0
    """How often Orthanc is asked what came."""
    upload_site: str = ""
    """Site of what comes by Orthanc's own page or REST API; empty lets it wait for a person."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        """Refuse what is no URL of a server alone."""
        return _server_url(url, "http://127.0.0.1:8042")


def _server_url(url: str, example: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.query):
        raise ValueError(f"must be a URL as {example}")
    return url
