"""Reads the queue of queues.json as its owner would, without any code of Vestibule.

Needs the package `cryptography`. docs/protocol.md, section 26, says what is computed.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

LENGTHS = [256, 1024, 4096, 16384, 65536]
INTERVAL = 16


def opaque(content):
    """`opaque<V>` of RFC 9420."""
    if len(content) < 64:
        return bytes([len(content)]) + content
    return struct.pack(">H", 0x4000 | len(content)) + content


def read_opaque(data):
    """The content of an `opaque<V>`, and what follows it."""
    length, size = (data[0], 1) if data[0] < 64 else (struct.unpack(">H", data[:2])[0] & 0x3FFF, 2)
    return data[size : size + length], data[size + length :]


def extract(salt, secret):
    return hmac.new(salt, secret, "sha256").digest()


def expand(key, info, length=32):
    return HKDFExpand(hashes.SHA256(), length, info).derive(key)


def labelled_hash(label, content):
    return hashlib.sha256(opaque(b"Vestibule 1.0 " + label) + opaque(content)).digest()


def hpke_open(private_key, info, sealed):
    """RFC 9180, base mode, of an HPKECiphertext."""
    kem_output, rest = read_opaque(sealed)
    ciphertext, rest = read_opaque(rest)
    assert rest == b""
    kem = b"KEM" + struct.pack(">H", 0x20)
    suite = b"HPKE" + struct.pack(">HHH", 0x20, 1, 3)

    def labelled_extract(suite_id, salt, label, secret):
        return extract(salt or bytes(32), b"HPKE-v1" + suite_id + label + secret)

    def labelled_expand(suite_id, key, label, context, length):
        return expand(key, struct.pack(">H", length) + b"HPKE-v1" + suite_id + label + context, length)

    key = X25519PrivateKey.from_private_bytes(private_key)
    shared = key.exchange(X25519PublicKey.from_public_bytes(kem_output))
    kem_context = kem_output + key.public_key().public_bytes_raw()
    shared_secret = labelled_expand(kem, labelled_extract(kem, b"", b"eae_prk", shared), b"shared_secret", kem_context, 32)
    context = bytes(1)
    context += labelled_extract(suite, b"", b"psk_id_hash", b"") + labelled_extract(suite, b"", b"info_hash", info)
    secret = labelled_extract(suite, shared_secret, b"secret", b"")
    message_key = labelled_expand(suite, secret, b"key", context, 32)
    nonce = labelled_expand(suite, secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(message_key).decrypt(nonce, ciphertext, b"")


def read(queue):
    """Opens every message in turn."""
    queue_id, private_key = bytes.fromhex(queue["queue_id"]), bytes.fromhex(queue["private_key"])
    ratchet_key, sequence = bytes.fromhex(queue["ratchet_key"]), 0
    for step in queue["enqueued"]:
        for message in step["messages"]:
            assert message["sequence"] == sequence
            context = opaque(b"Vestibule 1.0 QueueMessage") + queue_id + struct.pack(">Q", sequence)
            ciphertext = bytes.fromhex(message["ciphertext"])
            message_key = expand(ratchet_key, b"Vestibule 1.0 Queue message")
            ratchet_key = expand(ratchet_key, b"Vestibule 1.0 Queue ratchet")
            plaintext = ChaCha20Poly1305(message_key).decrypt(bytes(12), ciphertext, context)
            kind, length = struct.unpack(">BI", plaintext[:5])
            content = plaintext[5 : 5 + length]
            assert len(ciphertext) == next(size for size in LENGTHS if length + 21 <= size)
            assert plaintext[5 + length :] == bytes(len(plaintext) - 5 - length)
            if sequence % INTERVAL == 0:
                assert kind == 2
                info = opaque(b"Vestibule 1.0 QueueKeyUpdate") + opaque(context)
                fresh_secret = hpke_open(private_key, info, content)
                assert len(fresh_secret) == 32
                ratchet_key = expand(extract(ratchet_key, fresh_secret), b"Vestibule 1.0 Queue key update")
            else:
                assert (kind, content.hex()) == (1, step["content"])
            sequence += 1
        assert ratchet_key.hex() == step["ratchet_key"]
    return sequence


def decode_id(text):
    return base64.urlsafe_b64decode(text + "=")


vectors = json.loads((pathlib.Path(__file__).parent / "queues.json").read_text())
for vector in vectors["queue_ids"]:
    if "client_id" in vector:
        expected = labelled_hash(b"DirectQueue", vector["client_id"].encode())
    else:
        expected = labelled_hash(b"FanOutQueue", decode_id(vector["qs_client_id"]))
    assert expected.hex() == vector["queue_id"]
print(f"{read(vectors['queue'])} messages of the queue open as they should")
