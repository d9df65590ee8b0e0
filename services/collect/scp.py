"""The storage SCP: an association in, instances stored, each answered when its bytes are safe (PS3.4 B.2.3)."""

import errno
import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from services.collect.contexts import Contexts
from services.collect.handlers import SUCCESS, Refusal
from services.collect.open_associations import OpenAssociations
from services.collect.reception import Reception
from services.collect.settings import Settings
from services.collect.upper_layer import received_into, take_over
from shared import metrics

log = logging.getLogger(__name__)

_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT = 0x02, 0x03, 0x02  # PS3.8 table 9-21


class Listener:
    """Listens on the DICOM port and hands every C-STORE to `reception`."""

    def __init__(self, settings: Settings, reception: Reception, open_associations: OpenAssociations) -> None:
        self.settings, self.reception, self.open = settings, reception, open_associations
        self._contexts = Contexts(settings.private_sop_classes, settings.private_transfer_syntaxes)
        self._while_listening = ExitStack()
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listens from now on.

        Raises:
            OSError: the address is taken or not ours.
        """
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its errors print what a peer sent
        self._while_listening.enter_context(received_into(self.reception.folder.incoming))
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_open), (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ESTABLISHED, self._on_established), (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_C_STORE, self._on_store), (evt.EVT_RELEASED, self._on_end), (evt.EVT_ABORTED, self._on_end),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]  # fmt: skip
        self._server = self._entity().start_server(
            (self.settings.host, self.settings.port), block=False, evt_handlers=handlers
        )
        self._server.socket.listen(128)
        log.info("listening ae_title=%s address=%s port=%d", self.settings.ae_title, self.settings.host, self.port)

    def _entity(self) -> AE:
        settings, entity = self.settings, AE(ae_title=self.settings.ae_title)
        entity.maximum_pdu_size = settings.maximum_pdu_bytes
        entity.maximum_associations = settings.most_associations
        entity.acse_timeout = settings.acse_timeout_seconds
        entity.network_timeout = settings.network_timeout_seconds
        entity.require_calling_aet = settings.calling_ae_titles
        entity.require_called_aet = settings.require_called_ae_title
        entity.add_supported_context(Verification)
        return entity

    def stop(self) -> None:
        """Accepts no more, lets open associations end within the set time, then aborts them."""
        server, deadline = self._server, time.monotonic() + self.settings.stop_seconds
        server.shutdown()
        while server.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        for assoc in server.active_associations:
            log.warning("association aborted at stop peer=%s", _peer(assoc))
            assoc.abort()
        for key in self.open.current():
            self._end(key)
        self._while_listening.close()

    def reap(self) -> None:
        """Ends what the endings did not tell of: an association whose thread is gone is over."""
        for key in self.open.current():
            if isinstance(key, Association) and not key.is_alive():
                self._end(key)

    def _on_open(self, event: Any) -> None:
        settings = self.settings
        take_over(event.assoc, settings.maximum_pdu_bytes, settings.network_timeout_seconds, self._on_stray)

    def _on_stray(self, assoc: Association, data: bytes, reason: str) -> None:
        try:
            self.reception.quarantine.keep_bytes(data, str(assoc.requestor.address), reason, "no_dicom")
        except OSError as error:
            log.warning("stray bytes not kept cause=%s", errno.errorcode.get(error.errno or 0, "OSError"))

    def _on_requested(self, event: Any) -> None:
        assoc = event.assoc
        if self.reception.room() <= 0:
            log.error("association rejected: no room left on the store's disk peer=%s", _peer(assoc))
            metrics.ASSOCIATIONS.labels("rejected_no_room").inc()
            assoc.acse.send_reject(_TRANSIENT, _PRESENTATION, _LOCAL_LIMIT)
            assoc.kill()  # waits until the rejection is out; the connection is closed right after this handler
            return
        requested = assoc.requestor.primitive.presentation_context_definition_list
        assoc.acceptor.supported_contexts = self._contexts.supported(requested)

    def _on_rejected(self, event: Any) -> None:
        log.warning("association rejected peer=%s", _peer(event.assoc))
        metrics.ASSOCIATIONS.labels("rejected").inc()

    def _on_established(self, event: Any) -> None:
        self.open.begin(event.assoc)
        metrics.ASSOCIATIONS.labels("accepted").inc()
        metrics.ASSOCIATIONS_OPEN.set(len(self.open.current()))

    def _on_end(self, event: Any) -> None:
        if event.event is evt.EVT_ABORTED:
            metrics.ASSOCIATIONS.labels("aborted").inc()
        self._end(event.assoc)

    def _on_close(self, event: Any) -> None:
        self._end(event.assoc)
        if event.assoc.requestor.primitive is None:
            # pynetdicom waits on for a request that can't come any more: a port check would hold a slot for long
            event.assoc.dul.to_user_queue.put(None)

    def _end(self, assoc: Any) -> None:
        """Once per association, by whichever of its endings comes first."""
        if self.open.end(assoc):
            metrics.ASSOCIATIONS_OPEN.set(len(self.open.current()))
            if not assoc.is_released:
                assoc.dimse.drop_partial()
            self.reception.association_ended(assoc)

    def _on_store(self, event: Any) -> Dataset:
        request, assoc = event.request, event.assoc
        peer = assoc.requestor.ae_title.strip()
        try:
            stored = self.reception.store(
                Path(event.dataset_path),
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                peer,
                assoc,
            )
        except Refusal as refusal:
            return _refused(refusal, peer)
        if not self.open.carry(assoc, stored.header.study_instance_uid):
            self.reception.association_ended(assoc)  # the sender hung up before its answer
        return _answer(SUCCESS)


def _refused(refusal: Refusal, peer: str) -> Dataset:
    metrics.INSTANCES_REFUSED.labels(f"0x{refusal.status:04X}").inc()
    log.warning("c-store refused status=0x%04X cause=%s peer=%s", refusal.status, refusal.cause, peer)
    return _answer(refusal.status, refusal.comment)


def _answer(status: int, comment: str = "") -> Dataset:
    """The response's status, with its error comment (PS3.7 9.3.1.2)."""
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment[:64]
    return answer


def _peer(assoc: Association) -> str:
    """Who calls, in characters that can stand in a log."""
    return f"{assoc.requestor.ae_title.strip()!r}@{assoc.requestor.address}"
