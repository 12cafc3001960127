"""UIDs that count: the same run gives the same UIDs."""

import itertools


class CountingUidFactory:
    def __init__(self, root: str = "1.2.826.0.1.3680043.10.1") -> None:
        self._root = root
        self._numbers = itertools.count(1)

    def new_uid(self) -> str:
        return f"{self._root}.{next(self._numbers)}"
