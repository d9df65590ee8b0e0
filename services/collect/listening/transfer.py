"""P-DATA of an open association: from the receive buffer into files, without a copy (PS3.8 9.3.5, annex E).

C-STORE requests end here; every other message goes to pynetdicom as it came.
"""

from typing import TYPE_CHECKING, Any, Protocol, cast

from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from services.collect.listening.c_store import P_DATA_TF, BadCommand, StoreRequest, parse_store_request, store_response
from services.collect.listening.incoming import Incoming
from services.collect.listening.wire import PDU_HEADER, Wire

if TYPE_CHECKING:
    from services.collect.listening.upper_layer import Acceptor, Dul

_ITEM_HEADER = 6  # length, presentation context ID, message control header
_MOST_COMMAND = 2**16
_MOST_OTHER = 2**24  # the data set of a message that is no C-STORE is held in memory
_PACE_SECONDS = 20.0


class Storage(Protocol):
    """What becomes of what an association brings."""

    def begin(self, assoc: Association, request: StoreRequest, transfer_syntax_uid: str) -> Incoming:
        """A C-STORE-RQ has come: where its data set goes."""

    def store(self, assoc: Association, incoming: Incoming) -> tuple[int, str]:
        """The data set has come whole: the status and error comment to answer with."""

    def stray(self, assoc: Association, data: bytes, reason: str) -> None:
        """Bytes came that are no DICOM."""

    def releasing(self, assoc: Association) -> bool:
        """A-RELEASE is asked for; False: what came can't be made safe, so abort."""

    def ended(self, assoc: Association) -> None:
        """The association is over, however it ended; once for each that was begun."""


class BadData(Exception):
    """What came breaks the protocol: the association is aborted."""


class Transfer:
    """The state of one association's data transfer."""

    def __init__(self, assoc: "Acceptor", wire: Wire, storage: Storage, slowest_bytes_per_second: int) -> None:
        self._assoc, self._wire, self._storage = assoc, wire, storage
        self._most_answered = assoc.requestor.maximum_length or 0
        self._pdu_left = self._item_left = 0
        self._context_id = self._control = 0
        self._fragment = bytearray()
        self._incoming: Incoming | None = None
        self._other_left: int | None = None  # a message for pynetdicom, whose data set may still be this long
        self._other_context_id = 0
        self._slowest, self._waited, self._came = slowest_bytes_per_second, 0.0, 0
        self.paused = False

    @property
    def between_messages(self) -> bool:
        """Whether nothing is half there."""
        return not (self._pdu_left or self._incoming or self._fragment or self._other_left is not None)

    def consume(self) -> bool:
        """Uses what the buffer holds; returns when that is used up, when something else has to be done first, and at
        the first byte of another PDU.

        Returns:
            Whether another PDU begins.

        Raises:
            BadData: the peer breaks the protocol.
        """
        wire, self.paused = self._wire, False
        self._came += wire.end - wire.start
        try:
            while wire.start < wire.end and not self.paused:
                if self._pdu_left or self._item_left:
                    if not (self._take() if self._item_left else self._next_item()):
                        break
                elif wire.buffer[wire.start] != P_DATA_TF:
                    return True
                elif not self._next_pdu():
                    break
        finally:
            if self._incoming:
                self._incoming.flush()  # the buffer is filled anew
        if self._incoming and self._incoming.is_endless:
            raise BadData("an instance that has no end")
        return False

    def waited(self, seconds: float) -> None:
        """Time went by in which nothing came.

        Raises:
            BadData: a message comes so slowly that it would hold its place for ever.
        """
        if self.between_messages:
            self._waited, self._came = 0.0, 0
            return
        self._waited += seconds
        if self._waited > _PACE_SECONDS:
            if self._came < self._slowest * self._waited:
                raise BadData(f"the sender is slower than {self._slowest} bytes a second")
            self._waited, self._came = 0.0, 0

    def _header(self, size: int) -> memoryview | None:
        """The next `size` bytes, once all of them are there."""
        wire = self._wire
        if wire.end - wire.start < size:
            return None
        wire.start += size
        return wire.view[wire.start - size : wire.start]

    def _next_pdu(self) -> bool:
        header = self._header(PDU_HEADER)
        if header is None:
            return False
        self._pdu_left = int.from_bytes(header[2:], "big")
        if self._pdu_left > self._wire.most_bytes:
            reason = f"a PDU claims {self._pdu_left} bytes"
            self._wire.give_up(bytes(header), reason)
            raise BadData(reason)
        return True

    def _next_item(self) -> bool:
        if self._pdu_left < _ITEM_HEADER:
            raise BadData("a PDU that ends within a presentation data value")
        header = self._header(_ITEM_HEADER)
        if header is None:
            return False
        length = int.from_bytes(header[:4], "big")
        if length < 2 or length + 4 > self._pdu_left:
            raise BadData("a presentation data value that does not fit its PDU")
        self._context_id, self._control = header[4], header[5]
        self._item_left, self._pdu_left = length - 2, self._pdu_left - length - 4
        expects_data = self._incoming is not None or self._other_left is not None
        if expects_data == bool(self._control & 1):
            raise BadData("a command within a data set" if expects_data else "a data set that no command announced")
        if not self._item_left:
            self._fragment_came()
        return True

    def _take(self) -> bool:
        wire = self._wire
        size = min(self._item_left, wire.end - wire.start)
        piece = wire.view[wire.start : wire.start + size]
        wire.start += size
        self._item_left -= size
        if self._incoming:
            self._incoming.add(piece)
        else:
            self._fragment += piece
            if len(self._fragment) > (_MOST_COMMAND if self._control & 1 else self._wire.most_bytes):
                raise BadData("a command set without an end")
        if not self._item_left:
            self._fragment_came()
        return True

    def _fragment_came(self) -> None:
        last = bool(self._control & 2)
        if self._control & 1:
            if last:
                self._command_came()
        elif self._incoming:
            if self._incoming.request.context_id != self._context_id:
                raise BadData("a data set in another presentation context than its command")
            if last:
                self._data_set_came(self._incoming)
        else:
            self._hand_on(last)

    def _command_came(self) -> None:
        command, self._fragment = self._fragment, bytearray()
        try:
            request = parse_store_request(self._context_id, command)
        except BadCommand as error:
            raise BadData(str(error)) from error
        if request is None:
            self._hand_command_on(command)
            return
        context = self._assoc._accepted_cx.get(self._context_id)
        if context is None:
            raise BadData("a C-STORE-RQ in a presentation context that was not accepted")
        self._incoming = self._storage.begin(self._assoc, request, str(context.transfer_syntax[0]))

    def _data_set_came(self, incoming: Incoming) -> None:
        incoming.flush()
        status, comment = self._storage.store(self._assoc, incoming)
        self._incoming = None
        self._wire.send(store_response(incoming.request, status, comment, self._most_answered))
        self.paused = cast("Dul", self._assoc.dul).has_work

    def _hand_command_on(self, command: bytearray) -> None:
        self._receive(command, 3)
        if self._assoc.dimse.message is not None:  # its data set follows
            self._other_left, self._other_context_id = _MOST_OTHER, self._context_id
        self.paused = True

    def _hand_on(self, last: bool) -> None:
        fragment, self._fragment = self._fragment, bytearray()
        self._other_left = (self._other_left or 0) - len(fragment)
        if self._other_left < 0 or self._other_context_id != self._context_id:
            raise BadData("a data set that is too large, or in another presentation context than its command")
        self._receive(fragment, 2 if last else 0)
        if last:
            self._other_left, self.paused = None, True

    def _receive(self, fragment: bytearray, control: int) -> None:
        primitive = P_DATA()
        values: Any = [[self._context_id, bytes([control]) + bytes(fragment)]]
        primitive.presentation_data_value_list = values
        self._assoc.dimse.receive_primitive(primitive)

    def drop(self) -> None:
        """Removes the file of a message that did not come whole."""
        if self._incoming:
            self._incoming.discard()
            self._incoming = None
