"""[admit] of `isocenter.toml`: where the RIS reaches us, and what we take from it."""

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from shared.hl7.text import Hl7Error, codec_of
from shared.settings import Section


class Settings(Section):
    """What admit reads."""

    name: ClassVar[str] = "admit"

    host: str = "0.0.0.0"
    """The address to listen on; "127.0.0.1" lets in only what runs on this machine.

    MLLP is neither encrypted nor signed here: keep it inside the hospital's network."""
    port: int = Field(default=2575, ge=0, le=65535)
    """The MLLP port; 2575 is HL7's own."""
    accession_number_from: list[str] = ["IPC-1", "OBR-18", "ORC-3", "OBR-3", "ORC-2", "OBR-2"]
    """Where the accession number stands: the first of these fields that holds something (its first component)."""
    processing_ids: list[Literal["P", "T", "D"]] = ["P"]
    """MSH-11 that are taken: P production, T training, D debugging. An empty one counts as P."""
    undeclared_character_set: str = "UNICODE UTF-8"
    """How messages without MSH-18 are encoded; "8859/1" for a RIS that writes Latin-1 and does not say so."""
    most_bytes: int = Field(default=1 << 20, ge=1024)
    """Bytes of the longest message taken."""
    most_connections: int = Field(default=64, ge=1)
    """Connections at once; more are closed at the door."""
    idle_seconds: float = Field(default=600, gt=0)
    """A connection on which nothing comes for so long is closed; the RIS opens another when it needs one."""
    frame_seconds: float = Field(default=30, gt=0)
    """Longest time that one message may take to come in."""

    @field_validator("accession_number_from")
    @classmethod
    def _are_fields(cls, value: list[str]) -> list[str]:
        for place in value:
            if not re.fullmatch(r"(ORC|OBR|IPC|TQ1|ZDS)-\d{1,2}", place):
                raise ValueError(f"{place!r} is no field of an order: write a segment and a number, such as OBR-18")
        return value

    @field_validator("undeclared_character_set")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            codec_of(value)
        except Hl7Error as error:
            raise ValueError(error.text) from None
        return value
