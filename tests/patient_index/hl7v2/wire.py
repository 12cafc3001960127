"""A sender of HL7 v2 messages, for tests: raw sockets, and another library to read the answers."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import hl7

PATIENCE_S = 60.0


class Sender:
    """One MLLP connection."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self._rest = b""

    def ask(self, message: str | bytes, codec: str = "utf-8") -> hl7.Message:
        """Send one message in its frame and return the answer."""
        self.send(message, codec)
        return self.answer()

    def send(self, message: str | bytes, codec: str = "utf-8") -> None:
        raw = message if isinstance(message, bytes) else message.encode(codec)
        self.socket.sendall(b"\x0b" + raw + b"\x1c\r")

    def answer(self) -> hl7.Message:
        raw = self.raw_answer()
        assert raw, "the connection was closed without an answer"
        return read(raw)

    def raw_answer(self) -> bytes:
        """Return the next answer without its frame; nothing when the peer closed."""
        while b"\x1c\r" not in self._rest:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return b""
            if not data:
                return b""
            self._rest += data
        frame, _, self._rest = self._rest.partition(b"\x1c\r")
        assert frame.startswith(b"\x0b")
        return frame[1:]

    def closed(self) -> bool:
        """Wait for the end of the connection; tell whether it came without another answer."""
        return not self.raw_answer()

    def close(self) -> None:
        self.socket.close()


@contextmanager
def connected(port: int, *, tls: ssl.SSLContext | None = None) -> Iterator[Sender]:
    sender = Sender(port, tls=tls)
    try:
        yield sender
    finally:
        sender.close()


def read(raw: bytes) -> hl7.Message:
    """Read an answer in the set that its MSH-18 names."""
    header = raw.split(b"\r")[0].split(b"|")
    named = header[17].decode() if len(header) > 17 else ""
    codecs = {"UNICODE UTF-8": "utf-8", "GB 18030-2000": "gb18030", "GBK": "gbk"}
    return hl7.parse(raw.decode(codecs.get(named, "ascii")))


def value(answer: hl7.Message, path: str) -> str:
    """Return a value as "PID.3.4.1", of the first segment and the first repetition."""
    name, *numbers = path.split(".")
    try:
        found: object = answer.segments(name)[0]
    except KeyError:
        return ""
    steps = [int(number) for number in numbers]
    return _down(found, [steps[0], 1, *steps[1:]] if name else steps, first=True)


def count(answer: hl7.Message, name: str) -> int:
    return sum(str(segment[0]) == name for segment in answer)


def repetitions(answer: hl7.Message, name: str, number: int, place: int = 0) -> list[str]:
    """Return each repetition of a field as text."""
    segment = answer.segments(name)[place]
    return str(segment[number]).split("~") if number < len(segment) else []


def _down(found: object, steps: list[int], *, first: bool) -> str:
    for depth, step in enumerate(steps):
        offset = 0 if depth == 0 and first else 1
        if isinstance(found, str):
            if step != 1:
                return ""
            continue
        assert isinstance(found, list)
        if step - offset >= len(found):
            return ""
        found = found[step - offset]
    return str(found)


def refusal(answer: hl7.Message) -> tuple[str, str, str]:
    """MSA-1, ERR-3.1 and ERR-2 of an answer."""
    return value(answer, "MSA.1"), value(answer, "ERR.3.1"), repetitions(answer, "ERR", 2)[0]
