"""An authority with a server and a client certificate, made anew for a test."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files."""

    ca_file: Path
    ca_key_file: Path
    server_file: Path
    server_key_file: Path
    client_file: Path
    client_key_file: Path


def make_certificates(
    folder: Path, *, authority: Certificates | None = None, host: str = "localhost", ends_in_s: float = 86_400.0
) -> Certificates:
    """Make an authority, or use another one's, a certificate for 127.0.0.1 and a host, and one for a client."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates(
        *(folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"))
    )
    ca_name = _name("test authority")
    if authority is None:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        files.ca_file.write_bytes(_authority(ca_name, ca_key))
    else:
        loaded = serialization.load_pem_private_key(authority.ca_key_file.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        ca_key = loaded
        files.ca_file.write_bytes(authority.ca_file.read_bytes())
    files.ca_key_file.write_bytes(_pem(ca_key))
    address = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] if host == "localhost" else []
    for name, path, key_path in (
        (host, files.server_file, files.server_key_file),
        ("gateway", files.client_file, files.client_key_file),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name), *address])
        builder = _builder(_name(name), ca_name, key, ends_in_s=ends_in_s).add_extension(names, critical=False)
        certificate = builder.sign(ca_key, hashes.SHA256())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(_pem(key))
    return files


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as it is kept in a file."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _authority(ca_name: x509.Name, ca_key: ec.EllipticCurvePrivateKey) -> bytes:
    """An authority's own certificate."""
    ca = _builder(ca_name, ca_name, ca_key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = ca.add_extension(usage, critical=True).sign(ca_key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    """A name of one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, ends_in_s: float = 86_400.0
) -> x509.CertificateBuilder:
    """A certificate that is valid since yesterday."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(seconds=ends_in_s))
    )
