"""[collect] of `isocenter.toml`: how the PACS reaches Isocenter, and when a study is complete."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from services.collect.listening.tls import server_context
from shared.settings import Destination, Section

AETitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")
]
PrivateUID = Annotated[str, StringConstraints(max_length=64, pattern=r"^\d+(\.\d+)+$")]


class Peer(BaseModel):
    """[[collect.peers]]: where a sender can be reached that asks for storage commitment."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    ae_title: AETitle
    """The AE title by which it calls."""
    host: str = Field(min_length=1)
    """Where it listens."""
    port: int = Field(ge=1, le=65535)
    """On which port."""


class Settings(Section):
    """What collect reads."""

    name: ClassVar[str] = "collect"

    ae_title: AETitle = "ISOCENTER"
    """Our AE title."""
    host: str = "0.0.0.0"
    """The address that is listened on."""
    port: int = Field(default=11112, ge=0, le=65535)
    """The port that is listened on; 0 takes a free one."""
    tls_certificate: Path | None = None
    """PEM file: our certificate, and those between it and its authority."""
    tls_key: Path | None = None
    """PEM file: the certificate's private key, without a passphrase; let only the service read it."""
    tls_client_authorities: Path | None = None
    """PEM file: who signs senders' certificates; a sender without such a one is refused. Empty: senders need none."""
    tls_port: int | None = Field(default=None, ge=0, le=65535)
    """The port on which TLS is spoken (1.2 or newer, PS3.15 B.9), besides the plain one; empty: none."""
    calling_ae_titles: list[AETitle] = []
    """Who may send; empty: anyone. Others are rejected: calling AE title not recognised."""
    require_called_ae_title: bool = False
    """Rejects a sender that calls us by another AE title."""
    quiet_seconds: float = Field(default=60.0, ge=0)
    """A study is complete when this long no new image came and no association that carried it is open. Scanners that
    send while they scan pause for up to a minute between series."""
    quiet_seconds_by_ae: dict[str, float] = {}
    """The same for one sender: `{ CT1 = 10 }`."""
    private_sop_classes: list[PrivateUID] = []
    """Storage SOP classes that the standard does not know."""
    private_transfer_syntaxes: list[PrivateUID] = []
    """Transfer syntaxes that the standard does not know."""
    durability: Literal["instance", "association", "none"] = "instance"
    """When bytes are forced to the disk. "instance": before each success, so a power cut loses nothing that was
    acknowledged. "association": when the association ends; a power cut may lose what it carried. "none": when the
    operating system likes to; a power cut may lose the last half minute."""
    duplicates: Literal["keep-first", "replace", "refuse"] = "keep-first"
    """What other bytes under a known SOP Instance UID do, usually corrected demographics under the same UIDs.
    "keep-first": they are kept beside the first, flagged, and not read. "replace": they are read from now on and the
    study is read again, as with a late image; the first stay kept. "refuse": answered 0x0111 (duplicate SOP instance)
    and kept in quarantine; some senders take that status for success. Bytes that are kept already are success and no
    new work, whatever is set here."""
    least_free_bytes: int = Field(default=2**30, ge=0)
    """With less room than this on the disk, associations are rejected (transient, local limit exceeded) and C-STOREs
    on open ones are answered 0xA700 (out of resources)."""
    processes: int = Field(default=0, ge=0, le=64)
    """Listener processes that share the port; 0: as many as there are cores."""
    most_associations: int = Field(default=32, ge=1, le=1000)
    """Associations at once, over all processes; more are rejected: local limit exceeded."""
    most_associations_per_ae: int = Field(default=16, ge=1, le=1000)
    """The same for one calling AE title: a sender that opens more and more does not keep out the others."""
    most_instance_bytes: int = Field(default=2**33, ge=2**20)
    """Larger instances are answered 0xA700 (out of resources); nothing of them is kept."""
    slowest_bytes_per_second: int = Field(default=512, ge=0)
    """A sender that brings less than this, over twenty seconds within one message, is aborted: it would hold its place
    for ever."""
    maximum_pdu_bytes: int = Field(default=131072, ge=16384, le=2**20)
    """Offered as the largest PDU. The default is the largest that DCMTK sends."""
    acse_timeout_seconds: float = Field(default=30.0, gt=0)
    """Longest wait for an association request once the connection is open."""
    network_timeout_seconds: float = Field(default=60.0, gt=0)
    """An association that is silent this long is aborted."""
    stop_seconds: float = Field(default=20.0, ge=0)
    """When told to stop, open associations get this long to end."""
    commitment: bool = True
    """Storage commitment is offered (PS3.4 Annex J). A sender that is told that its images are kept may delete its own:
    say no here unless Isocenter's store is kept and backed up as an archive is."""
    peers: list[Peer] = []
    """Where the answers to storage commitment requests go: `[[collect.peers]]` with ae_title, host and port. A sender
    that is not listed is looked for among the [[destinations]]."""
    commitment_same_association_seconds: float = Field(default=5.0, ge=0)
    """A sender that holds its association open gets its answer there within this time, else on a new one; 0: always on
    a new one."""
    commitment_attempts: int = Field(default=40, ge=1)
    """Attempts to tell a sender what is kept; with the doubling delay, 40 are about a day."""
    most_pending_rows: int = Field(default=20000, ge=100)
    """Index rows that are kept in memory while the database is away (about 2 KB each); what is more is mended from the
    files when it is back."""

    @field_validator("tls_port")
    @classmethod
    def _has_usable_files(cls, value: int | None, said: ValidationInfo) -> int | None:
        files = [said.data.get(name) for name in ("tls_certificate", "tls_key", "tls_client_authorities")]
        if value is not None:
            server_context(*files)
        return value

    def tls_context(self) -> ssl.SSLContext:
        """What a listener speaks TLS with; read from the files anew."""
        return server_context(self.tls_certificate, self.tls_key, self.tls_client_authorities)

    @property
    def stale_seconds(self) -> float:
        """A file that nobody has written to for so long is nobody's: an open association writes or is aborted by
        then."""
        return 2 * self.network_timeout_seconds

    def address_of(self, ae_title: str, destinations: list[Destination]) -> Peer | None:
        """Where a sender listens; None when nobody has said it."""
        known = [peer for peer in self.peers if peer.ae_title == ae_title]
        known += [
            Peer(ae_title=ae_title, host=d.host, port=d.port)
            for d in destinations
            if d.kind == "dicom" and d.ae_title.strip() == ae_title
        ]
        return known[0] if known else None

    def quiet_time(self, calling_ae_title: str) -> timedelta:
        """How long a study from this sender must be quiet."""
        return timedelta(seconds=self.quiet_seconds_by_ae.get(calling_ae_title, self.quiet_seconds))
