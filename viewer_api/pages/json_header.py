"""A header in the DICOM JSON model (PS3.18 F.2), asked as a dataset is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydicom.datadict import tag_for_keyword

from viewer_api.dicomweb.json_model import tag_key

if TYPE_CHECKING:
    from viewer_api.dicomweb.json_model import Json


class JsonHeader:
    """The attributes of a dataset or of an item."""

    def __init__(self, attributes: Json) -> None:
        """Take them as metadata has them."""
        self._attributes = attributes

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return the value, a list of several; `default` where it is absent, empty or bulk."""
        element = self._attributes.get(_key(keyword)) or {}
        values = element.get("Value")
        if not values:
            return default
        if element["vr"] == "SQ":
            return [JsonHeader(item) for item in values]
        return values[0] if len(values) == 1 else values


@cache
def _key(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(keyword)
    return tag_key(tag)
