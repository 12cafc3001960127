"""Read a package that lies in memory, in reads as small as a slow line gives them."""

from dataclasses import dataclass
from io import BytesIO

from xds_registry.mtom_reading import DEFAULT_LIMITS, MultipartLimits, Package
from xds_registry.mtom_reading import read_package as read_stream


@dataclass(frozen=True)
class Read:
    root: bytes
    attachments: dict[str, bytes]


def read_package(
    data: bytes,
    content_type: str,
    limits: MultipartLimits = DEFAULT_LIMITS,
    *,
    most_at_once: int = 1 << 20,
) -> Read:
    package, stream = Package(), BytesIO(data)
    attachments = read_stream(
        lambda size: stream.read(min(size, most_at_once)),
        content_type,
        package,
        lambda _media_type, chunks: b"".join(chunks),
        limits,
    )
    return Read(package.root, attachments)
