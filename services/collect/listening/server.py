"""Takes connections on a socket that may be shared with other processes; each becomes an association."""

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import AssociationServer, RequestHandler

from services.collect.listening.transfer import Storage
from services.collect.listening.upper_layer import Acceptor

log = logging.getLogger(__name__)

_BACKLOG = 128
_COURTESY_SECONDS = 0.0005
_LOOK_SECONDS = 1.0  # at the port, also while nobody calls
_LONGEST_LOOK = 10.0


class _Handler(RequestHandler):
    server: "StorageServer"

    def _create_association(self) -> Acceptor:
        assoc = Acceptor(self.server, self.request, self.remote)
        assoc.acceptor.maximum_length = self.ae.maximum_pdu_size
        assoc.acceptor.ae_title = self.server.ae_title
        assoc.acceptor.address_info = self.local
        assoc.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        assoc.acceptor.implementation_version_name = self.ae.implementation_version_name
        assoc.requestor.address_info = self.remote
        for event, handler in dict[Any, Any](self.server._handlers).items():
            if event.is_intervention and handler:
                assoc.bind(event, *handler)
            elif event.is_notification:
                for one in handler:
                    assoc.bind(event, *one)
        return assoc


class StorageServer(AssociationServer):
    """pynetdicom's server around a socket that is bound already, and that other processes may listen on too."""

    def __init__(
        self, entity: AE, listening: socket.socket, storage: Storage, handlers: list[Any],
        slowest_bytes_per_second: int, most_connections: int, ssl_context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._listening: Any = listening
        self.storage, self.slowest_bytes_per_second = storage, slowest_bytes_per_second
        self.most_connections = most_connections
        super().__init__(
            entity, listening.getsockname(), entity.ae_title, entity.supported_contexts, ssl_context,
            evt_handlers=handlers, request_handler=_Handler,
        )  # fmt: skip
        self._looked_at, self._stops = time.monotonic(), False
        self._stopping, self._bell = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="listener", daemon=True)

    def server_bind(self) -> None:
        """The socket is bound."""
        self.socket.close()  # type: ignore[union-attr]
        self.socket = self._listening
        self._listening.setblocking(False)
        self.server_address = self._listening.getsockname()

    def server_activate(self) -> None:
        """It listens from `start` on."""

    def _bind_defaults(self) -> None:
        """Each association binds its own."""

    def start(self) -> None:
        """Takes connections.

        Raises:
            OSError: the port is listened on by another program.
        """
        self._listening.listen(_BACKLOG)
        self._thread.start()

    def stop(self) -> None:
        """Takes no more connections. Those that are open go on."""
        self._stops = True
        self._bell.send(b"\0")
        self._thread.join(timeout=10)
        self._listening.close()
        self._stopping.close()
        self._bell.close()

    def works(self) -> bool:
        """Whether the thread that takes connections does so, where it still should."""
        return self._stops or time.monotonic() - self._looked_at < _LONGEST_LOOK

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        while True:
            self._looked_at = time.monotonic()
            ready = {descriptor for descriptor, _ in poll.poll(_LOOK_SECONDS * 1000)}
            if self._stopping.fileno() in ready:
                return
            if ready:
                self._take_one()

    def _take_one(self) -> None:
        busy = len(self.active_associations)
        if busy:  # where several processes listen, one with less to do takes it first
            time.sleep(min(busy, 20) * _COURTESY_SECONDS)
        try:
            self._handle_request_noblock()  # type: ignore[attr-defined]
        except Exception as error:
            log.warning("connection not taken cause=%s", type(error).__name__)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a thread for one more. An association is refused politely, a flood is not."""
        return len(self.active_associations) < self.most_connections

    def get_request(self) -> Any:
        return (
            self._listening.accept()
        )  # TLS is spoken by the association's thread: a slow peer must not hold up others

    def shutdown_request(self, request: Any) -> None:
        """The association's thread closes its connection."""
        with contextlib.suppress(OSError):
            request.close()
