"""pynetdicom as an SCU gives every answer to the thread that asked.

It pauses its reading thread before it asks, but may believe it paused a moment before it is: a fast
answer is then taken for a request, and who asked waits for it in vain until a time-out. On a
crowded machine that is one association in some hundred.
"""

import queue

from pynetdicom.dimse import DIMSEServiceProvider, _QueueItem


def to_who_asked() -> None:
    """Have the reading thread of every association put back what came while it should rest."""
    DIMSEServiceProvider.get_msg = _get_msg  # type: ignore[method-assign]


def _get_msg(self: DIMSEServiceProvider, block: bool = False) -> _QueueItem:  # noqa: FBT001, FBT002
    try:
        item = self.msg_queue.get(block=block, timeout=self.dimse_timeout)
    except queue.Empty:
        return None, None
    if block or self.assoc._reactor_checkpoint.is_set():
        return item
    with self.msg_queue.mutex:
        self.msg_queue.queue.appendleft(item)
        self.msg_queue.not_empty.notify()
    return None, None
