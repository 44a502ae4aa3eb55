"""Writes spake2.json and rendezvous-channel.json beside itself, without any code of Vestibule.

Needs the packages `spake2` 0.9 and, which that brings, `cryptography`. docs/protocol.md, section 19, says what is
computed.
"""

import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import SPAKE2_A, SPAKE2_B
from spake2.ed25519_basic import L

CASES = [
    (27182, "001d", "example.org"),
    (0, "0000", "localhost"),
    (65535, "ffff", "a.example"),
    (4294967295, "8001", "example.org"),
]
LENGTHS = [256, 1024, 4096, 16384]


def opaque(content):
    """`opaque<V>` of RFC 9420."""
    if len(content) < 64:
        return bytes([len(content)]) + content
    return struct.pack(">H", 0x4000 | len(content)) + content


def identity(role, code, domain):
    label = opaque(b"Vestibule 1.0 RendezvousIdentity")
    return label + struct.pack(">HBI", 1, role, code) + opaque(domain.encode())


def labelled_hash(label, content):
    return hashlib.sha256(opaque(b"Vestibule 1.0 " + label) + opaque(content)).digest()


def scalar(seed):
    return int.from_bytes(hashlib.sha512(seed).digest(), "big") % L


def exchange(number, code, random_string, domain):
    """Both sides of SPAKE2, each with a scalar of our choice."""
    scalars = [scalar(f"vector {number} {side}".encode()) for side in "AB"]
    ids = [identity(role, code, domain) for role in (1, 2)]
    password = bytes.fromhex(random_string)
    sides = [
        kind(password, idA=ids[0], idB=ids[1], entropy_f=lambda length, x=x: x.to_bytes(length, "big"))
        for kind, x in zip((SPAKE2_A, SPAKE2_B), scalars)
    ]
    messages = [side.start() for side in sides]
    keys = [side.finish(message) for side, message in zip(sides, reversed(messages))]
    assert keys[0] == keys[1]
    return {
        "code": code,
        "random_string": random_string,
        "domain": domain,
        "new_device_identity": ids[0].hex(),
        "existing_device_identity": ids[1].hex(),
        "new_device_scalar": scalars[0].to_bytes(32, "little").hex(),
        "existing_device_scalar": scalars[1].to_bytes(32, "little").hex(),
        "new_device_message": messages[0].hex(),
        "existing_device_message": messages[1].hex(),
        "key": keys[0].hex(),
    }


def record(key, sender, mailbox_id, counter, kind, content):
    length = next(length for length in LENGTHS if len(content) + 19 <= length)
    plaintext = (struct.pack(">BH", kind, len(content)) + content).ljust(length - 16, b"\0")
    context = opaque(b"Vestibule 1.0 RendezvousRecord") + bytes([sender]) + mailbox_id + struct.pack(">Q", counter)
    return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack(">Q", counter), plaintext, context)


def show(message):
    """In full, or if that is long, its hash."""
    return message.hex() if len(message) <= 1024 else "sha256:" + hashlib.sha256(message).hexdigest()


def channel(vector):
    """What follows from a key: confirmations and records."""
    mailbox_id = hashlib.sha256(b"mailbox").digest()
    messages = [bytes.fromhex(vector[side + "_device_message"]) for side in ("new", "existing")]
    domain = opaque(vector["domain"].encode())
    transcript = struct.pack(">HI", 1, vector["code"]) + domain + mailbox_id + messages[0] + messages[1]
    transcript_hash = labelled_hash(b"RendezvousTranscript", transcript)

    def derive(name, purpose):
        info = f"Vestibule 1.0 Rendezvous {name} {purpose}".encode()
        return HKDF(hashes.SHA256(), 32, transcript_hash, info).derive(bytes.fromhex(vector["key"]))

    def confirmation(name):
        return hmac.new(derive(name, "confirmation"), transcript_hash, "sha256").digest()

    message = b"Is this device in your hands?"
    long = bytes(at % 251 for at in range(20000))
    keys = [derive(name, "record") for name in ("new device", "existing device")]
    # What the relay carries: messages by number, from each device. The long message has two records.
    from_new = [
        messages[0],
        confirmation("new device"),
        record(keys[0], 1, mailbox_id, 0, 2, message),
        record(keys[0], 1, mailbox_id, 1, 1, long[: 16384 - 19]),
        record(keys[0], 1, mailbox_id, 2, 2, long[16384 - 19 :]),
        record(keys[0], 1, mailbox_id, 3, 3, b""),
    ]
    from_existing = [
        messages[1],
        confirmation("existing device"),
        record(keys[1], 2, mailbox_id, 0, 2, b""),
        record(keys[1], 2, mailbox_id, 1, 3, b""),
    ]
    return {
        "spake2": vector,
        "mailbox_id": mailbox_id.hex(),
        "transcript_hash": transcript_hash.hex(),
        "new_device_record_key": keys[0].hex(),
        "existing_device_record_key": keys[1].hex(),
        # The second is byte(i) = i mod 251.
        "new_device_application_messages": [show(message), show(long)],
        "existing_device_application_messages": [""],
        "new_device_messages": [show(message) for message in from_new],
        "existing_device_messages": [show(message) for message in from_existing],
    }


def write(name, document):
    path = pathlib.Path(__file__).parent / name
    path.write_text(json.dumps(document, indent=2) + "\n")


vectors = [exchange(number, *case) for number, case in enumerate(CASES)]
write("spake2.json", vectors)
write("rendezvous-channel.json", channel(vectors[0]))
