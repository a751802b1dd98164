#!/usr/bin/env python3
"""Computes the test vectors of keymgr/src/derive.rs from its formulas, with integers and hashlib alone."""
import hashlib
import hmac

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOMAIN = b"cardinal-derive/1"


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return (x, (slope * (a[0] - x) - a[1]) % P)


def multiply(k, point):
    result = None
    while k:
        if k & 1:
            result = add(result, point)
        point = add(point, point)
        k >>= 1
    return result


def point_of(name):
    for i in range(256):
        x = int.from_bytes(hashlib.sha256(DOMAIN + b"\0" + name + b"\0" + bytes([i])).digest(), "big")
        square = (x**3 + 7) % P
        y = pow(square, (P + 1) // 4, P)
        if x < P and y * y % P == square:
            return (x, y if y % 2 == 0 else P - y)
    raise ValueError("no point")


def hkdf(salt, material, info, length):
    key = hmac.new(salt, material, hashlib.sha256).digest()
    block, out, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
        counter += 1
    return out[:length]


for name, key, length in (("team vault", 7, 32), ("Büro", int("11" * 32, 16), 64), ("a", N - 1, 16)):
    point = point_of(name.encode())
    agreed = multiply(key, point)[0].to_bytes(32, "big")
    print(name, f"{point[0]:064x}", f"{key:064x}", hkdf(DOMAIN, agreed, name.encode(), length).hex())
