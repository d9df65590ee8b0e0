"""The DICOM upper layer of an acceptor: pynetdicom's state machine, driven by the association's own thread.

pynetdicom gives an association two threads that look every millisecond whether something has come. Here one thread
waits for the network, so a C-STORE is read, stored and answered without a hand-over. Subclasses only; the tests tell
when a new pynetdicom changes what they lean on.
"""

import logging
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from services.collect.listening.transfer import BadData, Storage, Transfer
from services.collect.listening.wire import Wire

if TYPE_CHECKING:
    from services.collect.listening.server import StorageServer

log = logging.getLogger(__name__)

_STEP_SECONDS = 1.0  # timers are looked at this often while nothing comes
_LINGER_SECONDS = 2.0  # a peer gets this long to read our last word and to close


class Dul(DULServiceProvider):
    """The upper layer service provider, stepped by the association's thread instead of running in its own."""

    def __init__(self, assoc: "Acceptor") -> None:
        super().__init__(assoc)
        self._runs = False
        self.heard_at = time.monotonic()  # when the peer last sent something
        self._closing_since: float | None = None

    @property
    def wire(self) -> Wire:
        """The connection."""
        return cast(Wire, self.socket)

    @property
    def has_work(self) -> bool:
        """Whether something waits that is to be done before more is read."""
        return bool(self.event_queue.queue or self.to_provider_queue.queue or self.assoc.dimse.msg_queue.queue)

    def start(self) -> None:
        """No thread of its own."""
        self._runs = True
        self._idle_timer.start()
        self.assoc._dul_ready.set()

    def is_alive(self) -> bool:
        return self._runs and not self._kill_thread

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self._wake()

    def kill_dul(self) -> None:
        super().kill_dul()
        self._wake()

    def _wake(self) -> None:
        if threading.current_thread() is not self.assoc and self.socket is not None:
            self.wire.wake()

    def stop_dul(self) -> bool:
        """Lets the state machine come to its end; from another thread only tells whether it has."""
        if threading.current_thread() is self.assoc:
            until = time.monotonic() + _LINGER_SECONDS + _STEP_SECONDS
            while self.is_alive() and self.state_machine.current_state != "Sta1" and time.monotonic() < until:
                self.step()
            self._kill_thread = True
        return not self.is_alive() or self.state_machine.current_state == "Sta1"

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        if wait and threading.current_thread() is self.assoc:
            until = time.monotonic() + (timeout if timeout is not None else float("inf"))
            while not self.to_user_queue.queue and self.is_alive() and time.monotonic() < until:
                self.step(until - time.monotonic())
            wait = False
        return super().receive_pdu(wait=wait, timeout=timeout)

    def step(self, seconds: float = _STEP_SECONDS) -> None:
        """One round: an event, if one waits, or else what comes within `seconds`."""
        try:
            if not self.event_queue.queue:
                if self.artim_timer.expired:
                    self.event_queue.put("Evt18")
                elif not self._process_recv_primitive():
                    self._hear(min(seconds, _STEP_SECONDS))
            if self.event_queue.queue:
                self.state_machine.do_action(self.event_queue.get(block=False))
        except Exception as error:
            # a peer can bring this about, with an A-ABORT of no known source for one
            log.warning("association broken off cause=%s peer=%s", type(error).__name__, peer_of(self.assoc))
            log.debug("association broken off", exc_info=error)
            self.assoc.is_aborted, self.assoc.is_established = True, False
            self._kill_thread = True

    def _hear(self, seconds: float) -> None:
        state = self.state_machine.current_state
        if self.socket is None or self.wire.socket is None:
            self._kill_thread = True
        elif state == "Sta13":
            self._await_close(seconds)
        elif state == "Sta6" and (transfer := cast(Acceptor, self.assoc).transfer):
            self._hear_data(transfer, seconds)
        elif (self.wire.start < self.wire.end or self.wire.wait(seconds)) and self._is_transport_event():
            self._idle_timer.restart()

    def _hear_data(self, transfer: Transfer, seconds: float) -> None:
        """Data transfer: goes on until a message is whole and nothing more has come."""
        has_fresh = self.wire.start < self.wire.end
        try:
            while not self.has_work:
                if not has_fresh:
                    if not self.wire.fill() and not self._wait_for_data(transfer, seconds):
                        return
                    self._idle_timer.restart()
                    self.heard_at = time.monotonic()
                if transfer.consume():
                    self._is_transport_event()
                    return
                has_fresh = transfer.paused
        except BadData as error:
            log.warning("association aborted reason=%s peer=%s", error, peer_of(self.assoc))
            transfer.drop()
            self.event_queue.put("Evt19")  # PS3.8 table 9-10: an invalid PDU is answered by A-ABORT
        except OSError:
            transfer.drop()
            self.event_queue.put("Evt17")

    def _wait_for_data(self, transfer: Transfer, seconds: float) -> bool:
        since = time.monotonic()
        came = self.wire.wait(seconds) and self.wire.fill()
        transfer.waited(time.monotonic() - since)
        return came

    def _await_close(self, seconds: float) -> None:
        """Sta13: our last word is said. The peer closes first, or the bytes that it still sends would make the system
        reset the connection before it has read that word; for so long they are thrown away."""
        self._closing_since = self._closing_since or time.monotonic()
        left = self._closing_since + _LINGER_SECONDS - time.monotonic()
        self.wire.start = self.wire.end
        try:
            if left > 0 and (self.wire.fill() or not self.wire.wait(min(left, seconds)) or self.wire.fill()):
                return
        except OSError:
            pass
        self.wire.close()


class Dimse(DIMSEServiceProvider):
    """Assembles messages; one that can't be assembled aborts its association and nothing else."""

    def receive_primitive(self, primitive: P_DATA) -> None:
        try:
            super().receive_primitive(primitive)
        except Exception as error:
            log.warning("message can't be received, association aborted cause=%s", type(error).__name__)
            self.message = None
            self.dul.event_queue.put("Evt19")

    def get_msg(self, block: bool = False) -> Any:
        """A handler that waits for its peer's answer is on the thread that reads it."""
        if block and threading.current_thread() is self.assoc:
            until = time.monotonic() + (self.dimse_timeout or float("inf"))
            while not self.msg_queue.queue and self.dul.is_alive() and time.monotonic() < until:
                cast(Dul, self.dul).step(until - time.monotonic())
            block = False
        return super().get_msg(block=block)


class Acceptor(Association):
    """An association that a peer asks for."""

    def __init__(self, server: "StorageServer", connection: Any, remote: Any) -> None:
        super().__init__(server.ae, MODE_ACCEPTOR)
        self._server = server
        self.dul = Dul(self)
        self.dimse = Dimse(self)
        self.acse_timeout, self.network_timeout = server.ae.acse_timeout, server.ae.network_timeout  # set anew
        self.transfer: Transfer | None = None
        self.wire = Wire(self, connection, server.ae.maximum_pdu_size, server.storage.stray)
        self.wire.patience = float(server.ae.acse_timeout or 30)
        self.set_socket(self.wire)
        self.name = f"AcceptorThread@{remote.address}:{remote.port}"  # pynetdicom finds a server's associations so

    def _bind_defaults(self) -> None:
        """Only what answers: the handlers that log print what a peer sent."""
        for event in evt._INTERVENTION_EVENTS:
            self.bind(event, evt.get_default_handler(event))

    def run_reactor(self) -> None:
        server = cast("StorageServer", self._server)
        try:
            if server.ssl_context and not self._secure(server.ssl_context):
                return
            super().run_reactor()
        finally:
            if self.transfer:
                self.transfer.drop()
            server.storage.ended(self)
            self.dul._kill_thread = True
            self.wire.dispose()

    def _secure(self, context: ssl.SSLContext) -> bool:
        try:
            self.wire.handshake(context)
        except OSError as error:
            log.warning("TLS refused peer=%s cause=%s", self.requestor.address, getattr(error, "reason", None) or error)
            return False
        return True

    def _run_reactor(self) -> None:
        """Serves until the association ends: as pynetdicom's, but it waits for what it serves."""
        server = cast("StorageServer", self._server)
        self.wire.patience = float(self.network_timeout or 60)
        self.transfer = Transfer(self, self.wire, server.storage, server.slowest_bytes_per_second)
        while not self._kill:
            self._is_paused = True
            cast(Dul, self.dul).step()
            if not self._reactor_checkpoint.is_set():
                continue  # another thread asks the peer something, and takes the answer itself
            self._is_paused = False
            context_id, message = self.dimse.get_msg(block=False)
            if message:
                self._serve_request(message, cast(int, context_id))
            self._look_for_the_end(server.storage)
        self.kill()

    def is_silent(self, seconds: float) -> bool:
        """Whether the association stands, nothing is half there, and the peer has sent nothing for so long."""
        heard_at = cast(Dul, self.dul).heard_at
        whole = self.transfer is None or self.transfer.between_messages
        return bool(self.is_established and whole and time.monotonic() - heard_at > seconds)

    def _look_for_the_end(self, storage: Storage) -> None:
        if self.is_established and self.acse.is_release_requested():
            if storage.releasing(self):
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            else:
                self.abort()
        elif self.acse.is_aborted():
            self.dul.receive_pdu(wait=False)
            self.is_aborted, self.is_established = True, False
            evt.trigger(self, evt.EVT_ABORTED, {})
            self.kill()
        elif not self.dul.is_alive():
            self.kill()
        elif self.dul.idle_timer_expired():
            log.warning("association aborted reason=silent for too long peer=%s", peer_of(self))
            self.abort()


def peer_of(assoc: Association) -> str:
    """Who calls, in characters that can stand in a log."""
    return f"{assoc.requestor.ae_title.strip()!r}@{assoc.requestor.address}"
