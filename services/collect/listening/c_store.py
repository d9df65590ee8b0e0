"""C-STORE on the wire and in the file: the request's command set, the response, the File Meta Information.

The few bytes that each instance costs, written out: pydicom and pynetdicom take most of a millisecond for them.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta

P_DATA_TF = 4  # PS3.8 9.3.5
_COMMAND, _LAST = 1, 2  # PS3.8 E.2: bits of the message control header
_C_STORE_RQ, _C_STORE_RSP = b"\x01\x00", b"\x01\x80"
_NO_DATA_SET = b"\x01\x01"  # PS3.7 9.3.1.1: (0000,0800)

_ELEMENT_HEAD = struct.Struct("<HHL").unpack_from
_ANSWER = struct.Struct("<HHL2s HHLH HHL2s HHLH").pack  # (0000,0100), (0000,0120), (0000,0800), (0000,0900)


class BadCommand(Exception):
    """The command set is no command set, or lacks what a C-STORE-RQ must say."""


@dataclass(frozen=True)
class StoreRequest:
    """What a C-STORE-RQ says (PS3.7 table 9.3-1), and in which presentation context it came."""

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def parse_store_request(context_id: int, command: bytes | bytearray) -> StoreRequest | None:
    """Reads a command set; None: it is another message, or a C-STORE without a data set, for pynetdicom to judge.

    Raises:
        BadCommand: it can't be read, or lacks a mandatory element.
    """
    elements = _elements(command)
    if elements.get(0x0100) != _C_STORE_RQ or elements.get(0x0800) == _NO_DATA_SET:
        return None
    try:
        (message_id,) = struct.unpack("<H", elements[0x0110])
        sop_class_uid, sop_instance_uid = _uid(elements[0x0002]), _uid(elements[0x1000])
    except (KeyError, struct.error, UnicodeDecodeError) as error:
        raise BadCommand(f"a C-STORE-RQ without a readable element ({type(error).__name__})") from error
    if not sop_class_uid or not sop_instance_uid:
        raise BadCommand("a C-STORE-RQ that names no instance")
    return StoreRequest(context_id, message_id, sop_class_uid, sop_instance_uid)


def _elements(command: bytes | bytearray) -> dict[int, bytes]:
    """The elements of group 0000, implicit VR little endian (PS3.7 6.3.1)."""
    found, at = dict[int, bytes](), 0
    while at < len(command):
        try:
            group, element, length = _ELEMENT_HEAD(command, at)
        except struct.error as error:
            raise BadCommand("the command set is cut") from error
        at += 8 + length
        if group or at > len(command) or element in found:
            raise BadCommand("the command set is malformed")
        found[element] = bytes(command[at - length : at])
    return found


def _uid(value: bytes) -> str:
    return value.decode("ascii").strip("\0 ")


def store_response(request: StoreRequest, status: int, comment: str, maximum_pdu_bytes: int) -> bytes:
    """The C-STORE-RSP as PDUs (PS3.7 9.3.1.2), each no longer than the peer takes (0: any length)."""
    body = _element(0x0002, _even(request.sop_class_uid))
    body += _ANSWER(
        0, 0x0100, 2, _C_STORE_RSP, 0, 0x0120, 2, request.message_id, 0, 0x0800, 2, _NO_DATA_SET, 0, 0x0900, 2, status
    )
    if comment:
        body += _element(0x0902, _even(comment[:64], " "))
    body += _element(0x1000, _even(request.sop_instance_uid))
    command = _element(0x0000, struct.pack("<L", len(body))) + body
    most = max(1, maximum_pdu_bytes - 6) if maximum_pdu_bytes else len(command)
    if len(command) <= most:
        return _pdu(request.context_id, _COMMAND | _LAST, command)
    pieces = [command[at : at + most] for at in range(0, len(command), most)]
    return b"".join(
        _pdu(request.context_id, _COMMAND | (_LAST if n == len(pieces) else 0), piece)
        for n, piece in enumerate(pieces, start=1)
    )


def _pdu(context_id: int, control: int, piece: bytes) -> bytes:
    return struct.pack(">BBLLBB", P_DATA_TF, 0, len(piece) + 6, len(piece) + 2, context_id, control) + piece


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, element, len(value)) + value


def _even(value: str, padding: str = "\0") -> bytes:
    data = value.encode("ascii", "replace")
    return data + padding.encode() * (len(data) % 2)


def file_start(request: StoreRequest, transfer_syntax_uid: str) -> bytes:
    """What stands in a Part 10 file before the data set (PS3.10 7.1)."""
    before, after = _template(request.sop_class_uid, transfer_syntax_uid)
    uid = _even(request.sop_instance_uid)
    body = before + struct.pack("<H", len(uid)) + uid + after
    return bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + struct.pack("<L", len(body)) + body


@lru_cache(maxsize=512)
def _template(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[bytes, bytes]:
    """pynetdicom's File Meta Information, before and after the value of (0002,0003), without the group's length."""
    out, stand_in = BytesIO(), "1.2"
    meta = create_file_meta(
        sop_class_uid=UID(sop_class_uid), sop_instance_uid=UID(stand_in), transfer_syntax=UID(transfer_syntax_uid)
    )
    write_file_meta_info(out, meta)  # type: ignore[arg-type]
    data, mark = out.getvalue()[12:], b"\x02\x00\x03\x00UI"
    at = data.index(mark) + len(mark)
    return data[:at], data[at + 2 + len(_even(stand_in)) :]
