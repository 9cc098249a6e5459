# SPDX-License-Identifier: Apache-2.0
"""The certificate authority of the local databases, and a certificate for each; valid for 127.0.0.1 and localhost."""
from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .process import write_private

VALID_DAYS = 825
KEY_BITS = 2048


@dataclass(frozen=True)
class Files:
    authority: Path
    certificate: Path
    key: Path


def make_authority(folder: Path) -> Path:
    """`ca.pem` and its key, made once; gives the certificate's path."""
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    if not (certificate.exists() and key.exists() and _valid(certificate)):
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pipectl local databases")])
        made = (_builder(name, name, private.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(authority=True), critical=True)
                .sign(private, hashes.SHA256()))
        write_private(key, _pem(private))
        write_private(certificate, made.public_bytes(serialization.Encoding.PEM))
    return certificate


def make(folder: Path, server: Path) -> Files:
    """A certificate for one server, made when it has none that is still valid."""
    authority = make_authority(folder)
    files = Files(authority, server / "server.pem", server / "server-key.pem")
    if files.certificate.exists() and files.key.exists() and _valid(files.certificate) and files.certificate.stat().st_mtime >= authority.stat().st_mtime:
        return files
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    issuer_key = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    assert isinstance(issuer_key, rsa.RSAPrivateKey)
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (_builder(name, issuer.subject, private.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]), critical=False)
            .sign(issuer_key, hashes.SHA256()))
    write_private(files.key, _pem(private))
    write_private(files.certificate, made.public_bytes(serialization.Encoding.PEM))
    return files


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=VALID_DAYS)))


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=True, content_commitment=False, key_encipherment=not authority, data_encipherment=False, key_agreement=False,
                         key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _valid(certificate: Path) -> bool:
    try:
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return False
    return ends > dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)
