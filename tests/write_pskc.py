"""Writes a PSKC file with python3-pskc: a second opinion on what RFC 6030 says.

Arguments: how the secrets are locked ("plain", "key", "passphrase"), the key in hexadecimal or the passphrase, and
for each token one argument: serial, type, suite, secret in hexadecimal, digits, counter or time interval.
"""

import binascii
import sys

import pskc

lock, word, rows = sys.argv[1], sys.argv[2], sys.argv[3:]
container = pskc.PSKC()
for row in rows:
    serial, kind, suite, secret, digits, number = row.split(" ")
    pace = {"counter": int(number)} if kind == "hotp" else {"time_interval": int(number), "time_offset": 0}
    container.add_key(
        id=serial,
        serial=serial,
        manufacturer="oath.RIG",
        algorithm="urn:ietf:params:xml:ns:keyprov:pskc:" + kind,
        algorithm_suite=suite,
        secret=binascii.a2b_hex(secret),
        response_length=int(digits),
        response_encoding="DECIMAL",
        **pace,
    )
if lock == "key":
    container.encryption.setup_preshared_key(
        key=binascii.a2b_hex(word), key_name="Pre-shared-key", algorithm="aes128-cbc"
    )
elif lock == "passphrase":
    container.encryption.setup_pbkdf2(word, iterations=10000)
container.write(sys.stdout.buffer)
