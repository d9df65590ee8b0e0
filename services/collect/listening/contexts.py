"""Which SOP classes and transfer syntaxes are taken: every storage class and every syntax there is."""

from collections.abc import Iterable
from typing import Any

from pydicom.uid import UID, ImplicitVRLittleEndian, UID_dictionary  # type: ignore[attr-defined]
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context, register_uid
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from shared.dicom.commitment import PUSH_MODEL

_KNOWN = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
# No instance comes by these: a folder of media, and a service that only has storage in its name.
_NO_INSTANCE = {"1.2.840.10008.1.3.10", "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.2"}
_SERVICES = {str(Verification), PUSH_MODEL}
_REAL_TIME = "SMPTE"  # PS3.22: syntaxes of live streams, never of a file


class Contexts:
    """What is offered. pynetdicom copies every supported context for each association (70 ms for all of them), so an
    association only gets those that it asks for."""

    def __init__(self, private_sop_classes: Iterable[str] = (), private_transfer_syntaxes: Iterable[str] = ()) -> None:
        self.sop_classes = storage_sop_classes() | set(private_sop_classes)
        self.transfer_syntaxes = transfer_syntaxes() | set(private_transfer_syntaxes)
        for uid in self.sop_classes - _KNOWN:
            register_uid(uid, "Storage_" + uid.replace(".", "_"), StorageServiceClass)

    def supported(self, requested: Iterable[PresentationContext]) -> list[PresentationContext]:
        """The contexts that answer a request; of several transfer syntaxes in one context the sender's first is taken,
        which spares it a conversion."""
        wanted: dict[str, list[Any]] = {}
        for context in requested:
            if context.abstract_syntax in self.sop_classes or context.abstract_syntax in _SERVICES:
                known = [uid for uid in context.transfer_syntax if uid in self.transfer_syntaxes]
                wanted.setdefault(str(context.abstract_syntax), []).extend(known)
        return [_supported(uid, syntaxes) for uid, syntaxes in wanted.items()]


def _supported(uid: str, syntaxes: list[Any]) -> PresentationContext:
    context = build_context(uid, list(dict.fromkeys(syntaxes)) or [_NONE])
    if uid == PUSH_MODEL:
        # a PACS that answers what we asked opens the association, and is the SCP all the same (PS3.4 J.3.3)
        context.scu_role = context.scp_role = True
    return context


# A context must name a syntax: with this one, a request of unknown syntaxes is answered 'transfer syntaxes not
# supported' and not 'abstract syntax not supported' (PS3.8 table 9-18).
_NONE = ImplicitVRLittleEndian


def storage_sop_classes() -> set[str]:
    """Every storage SOP class that the standard knows, retired ones included: archives still hold them."""
    named = {
        uid for uid, (name, kind, *_) in UID_dictionary.items() if kind == "SOP Class" and " Storage" in f" {name}"
    }
    return (_KNOWN | named) - _NO_INSTANCE


def transfer_syntaxes() -> set[str]:
    """Every transfer syntax that the standard knows."""
    named = {uid for uid, (name, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
    return {uid for uid in named | {str(u) for u in ALL_TRANSFER_SYNTAXES} if _REAL_TIME not in UID(uid).name}
