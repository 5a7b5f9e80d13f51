"""Makes offline passwords without a line of the crate: where its known answers come from.

Prints the two of `known_passwords_stay_the_same`, from RFC 5869, RFC 2104 and the tables of the crate's documentation, and the
host code of `it_is_the_same_for_ever`.
"""

import hashlib
import hmac

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def host_key(master, fleet, host, epoch):
    extracted = hmac.digest(fleet, master, "sha256")
    info = b"postern offline passwords 1" + host + epoch.to_bytes(4, "big")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def field_32(one, other):
    """The product in GF(32), modulo x^5 + x^2 + 1."""
    product = 0
    for bit in range(5):
        if other >> bit & 1:
            product ^= one << bit
    for bit in (8, 7, 6, 5):
        if product >> bit & 1:
            product ^= 0b100101 << (bit - 5)
    return product


def check_value(values):
    total, weight = 0, 1
    for value in values:
        weight = field_32(weight, 2)
        total ^= field_32(weight, value)
    return total


def text(fields, mac):
    return written(fields + [(mac, 44)])


def written(fields):
    bits = "".join(format(value % (1 << width), f"0{width}b") for value, width in fields)
    values = [int(bits[place : place + 5], 2) for place in range(0, len(bits), 5)]
    letters = "".join(DIGITS[value] for value in values + [check_value(values)])
    return "-".join(letters[place : place + 5] for place in range(0, len(letters), 5))


def mac_of(key, reach, user, counter, kind, one, other, service):
    message = b"postern offline password 1" + bytes([reach, 1 if user else 0]) + counter.to_bytes(8, "big")
    message += bytes([kind]) + one.to_bytes(8, "big") + other.to_bytes(8, "big")
    for part in (service.encode(), user.encode()):
        message += len(part).to_bytes(8, "big") + part
    return int.from_bytes(hmac.digest(key, message, "sha256"), "big") >> (256 - 44)


def main():
    key = host_key(bytes([1] * 32), bytes([2] * 16), bytes([1] * 16), 0)
    now, midnight, counter = 1795435620, 1795471200, 7
    two_hours = 3
    mac = mac_of(key, 0, "alice", counter, 0, two_hours, midnight, "sshd")
    print(text([(1, 2), (0, 2), (1, 1), (two_hours, 4), (counter, 8), (midnight // 900, 9)], mac))
    start = now - now % 60
    end = start + 7200
    mac = mac_of(key, 1, "", counter, 1, start, end, "")
    print(text([(1, 2), (1, 2), (0, 1), (15, 4), (counter, 8), (start // 60, 18), (120, 16)], mac))
    code = hashlib.sha256(b"postern host code 1" + bytes([7] * 16)).digest()
    print(written([(int.from_bytes(code, "big") >> (256 - 45), 45)]))


main()
