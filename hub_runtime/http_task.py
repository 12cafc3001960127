"""Answers whose length is not known beforehand: in chunks, uncopied, on connections that stay.

waitress copies every chunk twice to put its length in front, and ends the connection after such an
answer, though its chunks say where it ends (RFC 9112 7.1, 9.3); and after one that has no body.
"""

from waitress.task import WSGITask

_JOINED_BYTES = 4096


class AnswerTask(WSGITask):  # type: ignore[misc]  # waitress ships no types
    """A request that is answered so."""

    def set_close_on_finish(self) -> None:
        """End the connection after this answer, unless it is waitress's fear of a missing length.

        An answer that breaks off ends it anyway: its last chunk is missing.
        """
        asked = self.request.headers.get("CONNECTION", "").lower() == "close"
        ends_by_itself = self.chunked_response or not self.has_body
        # To HEAD waitress sends the end of a body that must not be there.
        plain = self.version == "1.1" and self.request.command != "HEAD" and not asked
        if self.wrote_header or not (ends_by_itself and plain):
            super().set_close_on_finish()

    def write(self, data: bytes) -> None:
        """Send a piece of the answer, the header in front of the first."""
        if not self.wrote_header:
            super().write(b"")
        if not self.chunked_response:
            super().write(data)
        elif data:
            size = b"%X\r\n" % len(data)
            small = len(data) < _JOINED_BYTES
            for piece in (b"%b%b\r\n" % (size, data),) if small else (size, data, b"\r\n"):
                self.channel.write_soon(piece)

    def finish(self) -> None:
        """End the answer, and send what was held back of it."""
        super().finish()
        self.channel.send_held()
