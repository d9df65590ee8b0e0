"""send's DICOM wire: a C-STORE SCU, one association a delivery."""

from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from services.send.deadline import Deadline
from services.send.handlers import NotTaken, Refused, Unreachable, read_store_status
from shared.settings import Destination
from shared.stage import GiveUp

_LONGEST_CONNECT = 5.0  # a host that drops packets must not hold a worker for the whole time-out
_TURNS = 3  # the association, the object, the release: each may take the whole time-out
_SLOWEST = 32 * 2**10  # bytes a second; an object that goes out more slowly is tried again later


def store(path: Path, destination: Destination, ae_title: str) -> str:
    """Stores the object; returns the PACS's remark, empty for plain success.

    Raises:
        Unreachable: no association, no answer in time, or the PACS is out of resources.
        NotTaken: the PACS does not take the object's SOP class.
        Refused: the PACS does not take this object.
        GiveUp: the file is gone or no DICOM object.
    """
    dataset = _read(path)
    association = _open(dataset, destination, ae_title, path.stat().st_size)
    try:
        status = association.send_c_store(dataset)
    except (ValueError, RuntimeError) as error:
        if not association.is_established:
            raise Unreachable("the association ended before the object was sent") from None
        raise Refused(f"the object can't be encoded for the destination: {error}") from None
    finally:
        part(association)
    if "Status" not in status:
        raise Unreachable(
            f"no answer to C-STORE within {destination.timeout_seconds:g} s, or the association was aborted"
        )
    return read_store_status(int(status.Status), str(status.get("ErrorComment", "")))


def _read(path: Path) -> Dataset:
    try:
        dataset = dcmread(path)
        _ = dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID
    except FileNotFoundError:
        raise GiveUp("the object's file is gone: replay the run, which makes it again") from None
    except (InvalidDicomError, AttributeError, EOFError) as error:
        raise GiveUp(f"the object's file can't be read ({type(error).__name__}): replay the run") from None
    return dataset


def _open(dataset: Dataset, destination: Destination, ae_title: str, size: int) -> Association:
    ae = entity(destination, ae_title)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    syntaxes = [syntax, ImplicitVRLittleEndian] if syntax == ExplicitVRLittleEndian else [syntax]
    ae.add_requested_context(dataset.SOPClassUID, syntaxes)
    what = f"take {UID(dataset.SOPClassUID).name} in {syntax.name}: allow it there"
    try:
        return associate(ae, destination, what, size=size)
    except Refused as error:
        raise NotTaken(str(error)) from None


def entity(destination: Destination, ae_title: str) -> AE:
    """Us, with the destination's patience."""
    ae, seconds = AE(ae_title=ae_title), destination.timeout_seconds
    ae.connection_timeout = min(seconds, _LONGEST_CONNECT)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    return ae


def associate(
    ae: AE, destination: Destination, what: str, handlers: list[Any] | None = None, size: int = 0
) -> Association:
    """An association with the destination. It is cut when it takes longer, from its beginning to its end, than the
    time-out for each of its turns and the time that `size` bytes take.

    Args:
        what: what the destination does not do if it accepts no context, after "does not", with what to do about it.
        size: bytes that are to be sent.

    Raises:
        Unreachable: there is none to be had.
        Refused: the destination accepts no context.
    """
    deadline = Deadline(_TURNS * destination.timeout_seconds + size / _SLOWEST)
    association = ae.associate(
        destination.host, destination.port, ae_title=destination.ae_title,
        evt_handlers=[*(handlers or []), *deadline.handlers],
    )  # fmt: skip
    where = f"{destination.ae_title}@{destination.host}:{destination.port}"
    if association.is_established:
        return association
    if association.is_rejected:
        answer = association.acceptor.primitive
        said = answer.reason_str if answer is not None else "no reason given"
        raise Unreachable(f"{where} rejected the association: {said}")
    if association.rejected_contexts:
        raise Refused(f"{where} does not {what}")
    if deadline.passed:
        raise Unreachable(f"no association with {where}: its answer did not come to an end in {deadline.seconds:g} s")
    raise Unreachable(f"no association with {where}: it can't be reached, or ended it")


def part(association: Association) -> None:
    """Releases; an association that no longer answers is aborted, so that no thread is left behind."""
    if association.is_established:
        association.release()
    if not (association.is_released or association.is_aborted):
        association.abort()
