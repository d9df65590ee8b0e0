"""TLS on the DICOM port: the BCP 195 profile of PS3.15 B.9."""

import ssl
from pathlib import Path

# PS3.15 B.9 and B.12: TLS 1.2 or newer; for TLS 1.2 only suites with forward secrecy and AEAD. TLS 1.3 has only such.
_TLS_12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL"


def server_context(certificate: Path | None, key: Path | None, authorities: Path | None) -> ssl.SSLContext:
    """What a listener speaks TLS with; the files are PEM.

    Args:
        certificate: ours, and those between it and its authority.
        key: the certificate's, without a passphrase.
        authorities: who may have signed a sender's certificate; None: senders need none.

    Raises:
        ValueError: which file is missing or wrong, and what belongs there.
    """
    if certificate is None or key is None:
        raise ValueError("needs tls_certificate and tls_key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_12_CIPHERS)
    for path in filter(None, (certificate, key, authorities)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError(f"{path} can't be read ({error.strerror})") from error
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{certificate} and {key} are no certificate with its key ({_why(error)})") from error
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError as error:
            raise ValueError(f"{authorities} holds no certificates ({_why(error)})") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and there is nobody to ask")


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
