"""Derived identifiers: the same input gives the same UID, so a replay overwrites and never duplicates. Random ones only
where nothing is produced: the name of a transaction."""

import re
import uuid

# Everything that Isocenter produces is derived below this namespace; changing it changes every identifier.
_NAMESPACE = uuid.UUID("6f3c7a5e-2d1b-5c0a-9b67-1f8e3a94d210")

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")  # \d takes the digits of every script


def derived_uuid(*parts: str) -> uuid.UUID:
    """UUIDv5 of the parts, in order."""
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts))


def derived_uid(*parts: str) -> str:
    """A DICOM UID of the parts (PS3.5 B.2: 2.25 and the UUID as a decimal number)."""
    return f"2.25.{derived_uuid(*parts).int}"


def random_uid() -> str:
    """A DICOM UID that nobody has used (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def is_valid_uid(value: str) -> bool:
    """Whether `value` is a UID by PS3.5 9.1, and so safe as a file name."""
    return len(value) <= 64 and _UID.fullmatch(value) is not None
