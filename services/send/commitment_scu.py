"""send's storage commitment wire: an N-ACTION, and the N-EVENT-REPORT if it comes on the same association (PS3.4 J)."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import evt

from services.send.handlers import Unreachable, read_ask_status
from services.send.scu import associate, entity, part
from shared.dicom.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    NotReadable,
    Reference,
    Report,
    read_report,
    write_request,
)
from shared.settings import Destination
from shared.stage import GiveUp

# An SCP that answers on the same association mostly does so at once; any other opens an association to us.
_LISTEN_SECONDS = 1.0


class _Heard:
    """The report that comes on our own association, if one does."""

    def __init__(self, transaction_uid: str) -> None:
        self.transaction_uid, self.there = transaction_uid, threading.Event()
        self.report: Report | None = None

    def on_report(self, event: Any) -> tuple[int, None]:
        try:
            report = read_report(event.event_information)
        except (NotReadable, AttributeError, ValueError):
            return 0x0115, None
        if report.transaction_uid != self.transaction_uid:
            return 0x0115, None
        self.report = report
        self.there.set()
        return 0x0000, None


def ask(
    path: Path, transaction_uid: str, destination: Destination, before: Callable[[], None], ae_title: str
) -> Report | None:
    """Asks whether the destination keeps the object; returns its answer if it comes at once.

    Args:
        before: called when the association stands, before the question goes out.

    Raises:
        Unreachable: no association, no answer in time, or no resources.
        Refused: the destination does not take the question.
        GiveUp: the object's file is gone.
    """
    reference = _reference(path)
    heard = _Heard(transaction_uid)
    ae = entity(destination, ae_title)
    ae.add_requested_context(PUSH_MODEL)
    association = associate(
        ae, destination, "offer storage commitment: allow it there for our AE title, or set commitment = false",
        [(evt.EVT_N_EVENT_REPORT, heard.on_report)],
    )  # fmt: skip
    try:
        before()
        request = write_request(transaction_uid, [reference])
        status, _ = association.send_n_action(request, REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        if "Status" not in status:
            raise Unreachable(f"no answer to the storage commitment request within {destination.timeout_seconds:g} s")
        read_ask_status(int(status.Status), str(status.get("ErrorComment", "")))
        heard.there.wait(_LISTEN_SECONDS)
    except RuntimeError:
        raise Unreachable("the association ended before storage commitment was asked for") from None
    finally:
        part(association)
    return heard.report


def _reference(path: Path) -> Reference:
    try:
        ds = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
        return str(ds.SOPClassUID), str(ds.SOPInstanceUID)
    except (OSError, InvalidDicomError, AttributeError):
        raise GiveUp("the object's file is gone or can't be read: replay the run, which makes it again") from None
