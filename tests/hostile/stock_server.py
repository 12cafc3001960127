"""A stock pynetdicom storage server, to be attacked beside the hub: `stock_server.py [PEM]`.

It verifies and stores into nothing, with every setting as pynetdicom ships it.
"""

import ssl
import sys
import threading

from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification


def serve(certificate: str | None) -> None:
    entity = AE("EIRHUB")
    entity.add_supported_context(Verification)
    entity.add_supported_context(CTImageStorage, "1.2.840.10008.1.2.1")
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        ssl_context=context,
        evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0x0000), (evt.EVT_C_STORE, lambda _: 0x0000)],
    )
    print(f"port {server.socket.getsockname()[1]}", flush=True)  # noqa: T201 (read by the test)
    threading.Event().wait()


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else None)
