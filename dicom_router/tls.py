"""DICOM TLS: a port where every association begins with a TLS handshake (PS3.15 B.10 and B.12)."""

import logging
import ssl
from dataclasses import dataclass

from dicom_router.association import Reception
from dicom_router.connection import Connection
from dicom_router.errors import (
    NodeStoppingError,
    PeerGoneError,
    PeerTooSlowError,
    TlsRefusedError,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecureReception:
    """Makes the handshake in the connection's own thread, then receives it as any other."""

    context: ssl.SSLContext
    handshake_s: float
    reception: Reception

    def serve(self, connection: Connection) -> None:
        """Serve `connection`; whoever fails the handshake is on record with the reason."""
        try:
            connection.secure(self.context, self.handshake_s)
        except NodeStoppingError:
            return
        except (TlsRefusedError, PeerTooSlowError, PeerGoneError) as refusal:
            log.warning(
                "TLS connection refused",
                extra={"address": connection.address, "reason": str(refusal)},
            )
            self.reception.turned_away(connection, str(refusal))
            return
        self.reception.serve(connection)
