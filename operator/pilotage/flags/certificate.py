"""The service's certificate, read again when its files change: it is renewed while applications stay connected."""

import logging
from pathlib import Path

import grpc

log = logging.getLogger(__name__)


def server_credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    """TLS credentials that follow the files.

    Args:
        certificate: chain of certificates in PEM.
        key: private key in PEM.

    Raises:
        OSError: one of them can't be read.
    """
    last = _read(certificate, key)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC for each new connection; None keeps the certificate."""
        nonlocal last
        try:
            found = _read(certificate, key)
        except OSError as error:
            log.warning("the certificate can't be read again", extra={"reason": str(error)})
            return None
        if found == last:
            return None
        last = found
        log.info("the certificate was renewed")
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(_configuration(last), fetch, require_client_authentication=False)


def _read(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    return key.read_bytes(), certificate.read_bytes()


def _configuration(pair: tuple[bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([pair])
