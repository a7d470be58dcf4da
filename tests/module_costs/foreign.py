"""Envoy's own functions, which are no part of the module and burn no fuel.

The arguments of `sign` and `verify_signature` are protocol buffers of byte strings only; signatures are the same in every run.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa


def sign(arguments: bytes) -> bytes:
    """Fields 1 to 3: hash, private key as PKCS#8, text. Gives 1: done, 2: the signature."""
    fields = byte_strings(arguments)
    key = serialization.load_der_private_key(fields[2], None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(fields[3], ec.ECDSA(HASHES[fields[1]], deterministic_signing=True))
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(fields[3], padding.PKCS1v15(), HASHES[fields[1]])
    else:
        raise TypeError(f"Envoy does not sign with {key}")
    return YES + b"\x12" + varint(len(signature)) + signature


def verify_signature(arguments: bytes) -> bytes:
    """Fields 1 to 4: hash, public key as SPKI, signature, text. Gives 1: whether it is good."""
    fields = byte_strings(arguments)
    key = serialization.load_der_public_key(fields[2])
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(fields[3], fields[4], ec.ECDSA(HASHES[fields[1]]))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(fields[3], fields[4], padding.PKCS1v15(), HASHES[fields[1]])
        else:
            raise TypeError(f"Envoy does not verify with {key}")
    except InvalidSignature:
        return b""
    return YES


def declare_property(arguments: bytes) -> bytes:
    """The type of a filter state, which the module declares once and this host need not know."""
    if b"google.protobuf.Struct" not in arguments:
        raise ValueError(f"another type: {arguments!r}")
    return b""


def byte_strings(message: bytes) -> dict[int, bytes]:
    """The fields of a message that has length-delimited ones only, by number."""
    fields, at = {}, 0
    while at < len(message):
        number, size, shift, at = message[at] >> 3, 0, 0, at + 1
        while True:
            size |= (message[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 0x80:
                break
        fields[number] = message[at:at + size]
        at += size
    return fields


def varint(value: int) -> bytes:
    """A number as a message has it."""
    more = []
    while value > 0x7F:
        more.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*more, value])


FOREIGN = {"declare_property": declare_property, "sign": sign, "verify_signature": verify_signature}
HASHES = {b"sha256": hashes.SHA256(), b"sha384": hashes.SHA384(), b"sha512": hashes.SHA512()}
YES = b"\x08\x01"
