"""The storage SCP: an association in, instances stored, each answered when its bytes are safe (PS3.4 B.2.3)."""

import errno
import logging
import socket
import time
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from services.collect.commitment.scp import CommitmentWire
from services.collect.handlers import SUCCESS, UNSUPPORTED_SOP_CLASS, Refusal
from services.collect.listening.c_store import StoreRequest
from services.collect.listening.contexts import Contexts
from services.collect.listening.incoming import Incoming, no_room
from services.collect.listening.incoming_folder import IncomingFolder
from services.collect.listening.open_associations import OpenAssociations
from services.collect.listening.register import Desk
from services.collect.listening.server import StorageServer
from services.collect.listening.upper_layer import peer_of
from services.collect.reception import Reception
from services.collect.settings import Settings
from shared import metrics

log = logging.getLogger(__name__)

_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT = 0x02, 0x03, 0x02  # PS3.8 table 9-21


class Listener:
    """Listens on the DICOM port and hands every C-STORE to `reception`."""

    def __init__(
        self, settings: Settings, reception: Reception, open_associations: OpenAssociations, desk: Desk,
        incoming: IncomingFolder, commitment: CommitmentWire,
    ) -> None:  # fmt: skip
        self.settings, self.reception, self.open, self.commitment = settings, reception, open_associations, commitment
        self._desk, self._incoming = desk, incoming
        self._contexts = Contexts(settings.private_sop_classes, settings.private_transfer_syntaxes)
        self._admitted: dict[Association, str] = {}
        self.servers: list[StorageServer] = []

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.servers[0].server_address[1])

    def start(self, plain: socket.socket, secured: socket.socket | None = None) -> None:
        """Listens from now on, on sockets that are bound; `secured` speaks TLS."""
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its errors print what a peer sent
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._on_requested), (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_REJECTED, self._on_rejected), (evt.EVT_ABORTED, self._on_aborted),
            *self.commitment.handlers,
        ]  # fmt: skip
        sockets = [(plain, None)] + ([(secured, self.settings.tls_context())] if secured else [])
        for listening, ssl_context in sockets:
            server = StorageServer(
                self._entity(), listening, self, handlers, self.settings.slowest_bytes_per_second,
                most_connections=2 * self.settings.most_associations + 16, ssl_context=ssl_context,
            )  # fmt: skip
            server.start()
            self.servers.append(server)

    def works(self) -> bool:
        """Whether every port is looked after."""
        return all(server.works() for server in self.servers)

    def _entity(self) -> AE:
        settings, entity = self.settings, AE(ae_title=self.settings.ae_title)
        entity.maximum_pdu_size = settings.maximum_pdu_bytes
        entity.maximum_associations = 10**6  # the register counts, over all processes
        entity.acse_timeout = settings.acse_timeout_seconds
        entity.network_timeout = settings.network_timeout_seconds
        entity.require_calling_aet = settings.calling_ae_titles
        entity.require_called_aet = settings.require_called_ae_title
        entity.add_supported_context(Verification)
        return entity

    def stop(self) -> None:
        """Accepts no more, lets open associations end within the set time, then aborts them."""
        deadline = time.monotonic() + self.settings.stop_seconds
        for server in self.servers:
            server.stop()
        while self.open.current() and time.monotonic() < deadline:
            time.sleep(0.05)
        for assoc in (assoc for server in self.servers for assoc in server.active_associations):
            if assoc.is_established:
                log.warning("association aborted at stop peer=%s", peer_of(assoc))
                assoc.abort()
        for key in self.open.current():
            self.ended(key)

    def _on_requested(self, event: Any) -> None:
        assoc = event.assoc
        if self.reception.room() <= 0:
            return self._reject(assoc, "no room left on the store's disk", "rejected_no_room")
        calling_ae_title = assoc.requestor.primitive.calling_ae_title.strip()
        if reason := self._desk.admit(calling_ae_title):
            return self._reject(assoc, reason, "rejected")
        self._admitted[assoc] = calling_ae_title
        requested = assoc.requestor.primitive.presentation_context_definition_list
        assoc.acceptor.supported_contexts = self._contexts.supported(requested)
        return None

    def _reject(self, assoc: Any, reason: str, outcome: str) -> None:
        level = logging.DEBUG if outcome == "rejected_no_room" else logging.WARNING  # reception has said it once
        log.log(level, "association rejected: %s peer=%s", reason, peer_of(assoc))
        metrics.ASSOCIATIONS.labels(outcome).inc()
        assoc.acse.send_reject(_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT)
        assoc.kill()  # waits until the rejection is out; the connection is closed right after this handler

    def _on_rejected(self, event: Any) -> None:
        log.warning("association rejected peer=%s", peer_of(event.assoc))
        metrics.ASSOCIATIONS.labels("rejected").inc()

    def _on_established(self, event: Any) -> None:
        self.open.begin(event.assoc)
        metrics.ASSOCIATIONS.labels("accepted").inc()
        metrics.ASSOCIATIONS_OPEN.inc()

    def _on_aborted(self, event: Any) -> None:
        metrics.ASSOCIATIONS.labels("aborted").inc()

    def stray(self, assoc: Association, data: bytes, reason: str) -> None:
        try:
            self.reception.quarantine.keep_bytes(data, str(assoc.requestor.address), reason, "no_dicom")
        except OSError as error:
            log.warning("stray bytes not kept cause=%s", errno.errorcode.get(error.errno or 0, "OSError"))

    def begin(self, assoc: Association, request: StoreRequest, transfer_syntax_uid: str) -> Incoming:
        path, most = self._incoming.next_path(), self.settings.most_instance_bytes
        incoming = Incoming(request, transfer_syntax_uid, path, most)
        if request.sop_class_uid not in self._contexts.sop_classes:
            incoming.refuse(Refusal(UNSUPPORTED_SOP_CLASS, "no storage SOP class", "sop_class", keep=False))
        elif self.reception.room() <= 0:
            incoming.refuse(no_room())
        return incoming

    def store(self, assoc: Association, incoming: Incoming) -> tuple[int, str]:
        peer = assoc.requestor.ae_title.strip()
        try:
            stored = self.reception.store(incoming, peer, assoc)
        except Refusal as refusal:
            metrics.INSTANCES_REFUSED.labels(f"0x{refusal.status:04X}").inc()
            level = logging.DEBUG if refusal.cause == "no_room" else logging.WARNING  # reception has said it once
            log.log(level, "c-store refused status=0x%04X cause=%s peer=%s", refusal.status, refusal.cause, peer)
            return refusal.status, refusal.comment
        metrics.INSTANCES_STORED.labels(peer).inc()
        metrics.INSTANCE_BYTES.labels(peer).inc(stored.size)
        return SUCCESS, ""

    def releasing(self, assoc: Association) -> bool:
        """Before the release is answered, so that what a released association brought is durable."""
        return self._end(assoc)

    def ended(self, assoc: Any) -> None:
        self._end(assoc)

    def _end(self, assoc: Any) -> bool:
        """Once per association, by whichever of its endings comes first."""
        if (calling_ae_title := self._admitted.pop(assoc, None)) is not None:
            self._desk.leave(calling_ae_title)
        if not self.open.end(assoc):
            return True
        metrics.ASSOCIATIONS_OPEN.dec()
        return self.reception.association_ended(assoc)
