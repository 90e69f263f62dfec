"""A self-signed certificate for the connections of one run.

Tasks do not trust it because somebody signed it, but because they were told its fingerprint. Ray installs no package that
creates certificates, so this module encodes one. OpenSSL does all cryptography with other machines; here a key is chosen
and used once, on this machine, so it does not matter that the arithmetic does not run in constant time.

The curve is P-256 (SEC 2), the certificate X.509 (RFC 5280), the key of RFC 5915, the encoding DER.
"""

import base64
import hashlib
import secrets
import ssl
import tempfile
from dataclasses import dataclass

# P-256: y² = x³ - 3x + B over the integers modulo P, with a base point of the order N.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]

INTEGER, BIT_STRING, OCTET_STRING, OBJECT, UTF8, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
PRIME256V1 = bytes.fromhex("2a8648ce3d030107")
ECDSA_WITH_SHA256 = bytes.fromhex("2a8648ce3d040302")
COMMON_NAME = bytes.fromhex("550403")


@dataclass(frozen=True)
class Identity:
    """What a server proves its identity with."""

    context: ssl.SSLContext
    # The SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: str


def create() -> Identity:
    """Chooses a key and creates its certificate, of which nothing stays on the disk."""
    private = 1 + secrets.randbelow(N - 1)
    certificate, key = encode(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Python loads keys only from files; this one is readable by its owner only.
    with tempfile.NamedTemporaryFile(prefix="osiris-ray-bridge-") as file:
        file.write(_pem("CERTIFICATE", certificate) + _pem("EC PRIVATE KEY", key))
        file.flush()
        context.load_cert_chain(file.name)
    return Identity(context, hashlib.sha256(certificate).hexdigest())


def encode(private: int) -> tuple[bytes, bytes]:
    """The certificate of a private key, and the key itself, in DER."""
    x, y = _multiply(private, BASE)
    public = _der(BIT_STRING, b"\0\x04", x.to_bytes(32, "big"), y.to_bytes(32, "big"))
    name = _der(SEQUENCE, _der(SET, _der(SEQUENCE, _der(OBJECT, COMMON_NAME), _der(UTF8, b"osiris-ray-bridge"))))
    algorithm = _der(SEQUENCE, _der(OBJECT, ECDSA_WITH_SHA256))
    # Tasks look at the fingerprint, not at the clock.
    validity = _der(SEQUENCE, _der(UTC_TIME, b"200101000000Z"), _der(GENERALIZED_TIME, b"99991231235959Z"))
    key_info = _der(SEQUENCE, _der(SEQUENCE, _der(OBJECT, EC_PUBLIC_KEY), _der(OBJECT, PRIME256V1)), public)
    version = _der(0xA0, _integer(2))
    serial = _integer(secrets.randbits(126))
    signed = _der(SEQUENCE, version, serial, algorithm, name, validity, name, key_info)
    signature = _der(BIT_STRING, b"\0", _sign(private, signed))
    octets = _der(OCTET_STRING, private.to_bytes(32, "big"))
    key = _der(SEQUENCE, _integer(1), octets, _der(0xA0, _der(OBJECT, PRIME256V1)), _der(0xA1, public))
    return _der(SEQUENCE, signed, algorithm, signature), key


def _add(left: Point | None, right: Point | None) -> Point | None:
    """The sum of two points; None is the neutral element."""
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if left == right else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _multiply(factor: int, point: Point) -> Point:
    """A multiple of a point; `factor` is between 1 and N - 1."""
    total: Point | None = None
    power: Point | None = point
    while factor:
        if factor & 1:
            total = _add(total, power)
        power = _add(power, power)
        factor >>= 1
    assert total is not None
    return total


def _sign(private: int, message: bytes) -> bytes:
    """An ECDSA signature."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = 1 + secrets.randbelow(N - 1)
        r = _multiply(nonce, BASE)[0] % N
        s = pow(nonce, -1, N) * (digest + r * private) % N
        if r and s:
            return _der(SEQUENCE, _integer(r), _integer(s))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _integer(value: int) -> bytes:
    # One bit more than it needs, because DER's integers have a sign.
    return _der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pem(label: str, content: bytes) -> bytes:
    text = base64.encodebytes(content).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()
