"""A throw-away CA, and P-256 certificates of every kind that a proxy must take or refuse."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TRUST_DOMAIN = "mesh.test"
DAY = datetime.timedelta(days=1)


class Pair:
    """A certificate and its key as PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key


class Ca:
    """A self-signed root of one trust domain that writes what it issues into a folder."""

    def __init__(self, folder: Path, file: str = "root", trust_domain: str = TRUST_DOMAIN) -> None:
        # every root has the same name: only signatures tell them apart
        self.folder = folder
        self.trust_domain = trust_domain
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root of the tests")])
        now = datetime.datetime.now(datetime.timezone.utc)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.file = folder / f"{file}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def identity(self, service: str, **more: object) -> Pair:
        """The certificate of a service of this trust domain."""
        return self.issue(service, [f"spiffe://{self.trust_domain}/{service}"], **more)

    def expired(self, service: str) -> Pair:
        """A service's certificate that was good until yesterday."""
        return self.identity(service, file=f"{service}-expired", days=(-3, -1))

    def not_yet(self, service: str) -> Pair:
        """A service's certificate that will be good tomorrow."""
        return self.identity(service, file=f"{service}-not-yet", days=(1, 3))

    def issue(
        self,
        service: str,
        uris: list[str],
        file: str = "",
        days: tuple[int, int] = (-1, 7),
        dns: tuple[str, ...] = (),
    ) -> Pair:
        """A leaf with these names; valid from `days[0]` to `days[1]`, counted from now."""
        now = datetime.datetime.now(datetime.timezone.utc)
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)]))
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pair = Pair(self.folder / f"{file or service}.pem", self.folder / f"{file or service}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pair.key.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        pair.key.chmod(0o600)
        return pair
