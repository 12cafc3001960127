"""Whether the order behind an instance was urgent (PS3.3 C.4.11)."""

from image_archive.elements import Elements

# Study Priority ID of old, and Requested Procedure Priority: in the dataset itself or in an item
# of the request.
PRIORITIES = (0x0032000C, 0x00401003)
URGENT_PRIORITIES = frozenset({"STAT", "HIGH", "EMERGENCY", "URGENT"})


def is_emergency(elements: Elements) -> bool:
    """Tell whether an order among the elements says one of the words that mean urgent."""
    found = [elements.top[tag] for tag in PRIORITIES if tag in elements.top]
    found += [one for tag in PRIORITIES for one in elements.nested.get(tag, ())]
    words = (one.value.decode("ascii", "replace").strip(" \0").upper() for one in found)
    return not URGENT_PRIORITIES.isdisjoint(words)
