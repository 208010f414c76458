"""
HMAC_DRBG with SHA-256: the generator behind the list (NIST SP 800-90A Rev. 1, section 10.1.2).

Deterministic: the same inputs give the same bytes on every machine and every version of Python,
which is what lets a second program reproduce the list. Known answers of NIST's validation program
are in tests/vectors/drbg.json. Without prediction resistance: the seed is the only secret.

A list takes one draw for every slot, so a draw is made fast: HMAC (RFC 2104) is written out as its
two hashes, with the padded keys kept, since the key changes only once in a draw.
"""

from __future__ import annotations

from hashlib import sha256

OUTPUT_BYTES = 32
# SP 800-90A Rev. 1, table 2: at most 2^19 bits for one request, 2^48 requests between reseeds.
LARGEST_REQUEST = 2**16
RESEED_INTERVAL = 2**48
# SP 800-90A Rev. 1, table 2: entropy at least as long as the security strength of 256 bits.
LEAST_ENTROPY = 32
DRAW_BYTES = 4
DRAW_RANGE = 2 ** (8 * DRAW_BYTES)

# RFC 2104: the key, padded with zeros to the 64 bytes of a SHA-256 block, xor 0x36 or 0x5c.
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_INNER_REST = b"\x36" * (64 - OUTPUT_BYTES)
_OUTER_REST = b"\x5c" * (64 - OUTPUT_BYTES)


class HmacDrbg:
    """A deterministic generator of random bytes and of unbiased whole numbers."""

    def __init__(self, entropy: bytes, *, nonce: bytes = b"", personalization: bytes = b"") -> None:
        """
        Instantiate (section 10.1.2.3).

        :raises ValueError: if ``entropy`` is shorter than 32 bytes.
        """
        if len(entropy) < LEAST_ENTROPY:
            raise ValueError("entropy must be 32 bytes or more")
        self._inner, self._outer = _padded(b"\x00" * OUTPUT_BYTES)
        self._value = b"\x01" * OUTPUT_BYTES
        self._update(entropy + nonce + personalization)
        self._requests = 1

    def reseed(self, entropy: bytes, *, additional: bytes = b"") -> None:
        """Mix fresh entropy in (section 10.1.2.4)."""
        self._update(entropy + additional)
        self._requests = 1

    def generate(self, length: int) -> bytes:
        """
        Return the next ``length`` bytes (section 10.1.2.5).

        :raises ValueError: if more than 65,536 bytes are asked for at once.
        :raises RuntimeError: if the generator must be reseeded first.
        """
        if not 0 <= length <= LARGEST_REQUEST:
            raise ValueError("one request is 0 to 65536 bytes")
        self._count_request()
        output = b""
        while len(output) < length:
            self._value = self._mac(self._value)
            output += self._value
        self._update(b"")
        return output[:length]

    def uniform(self, bound: int) -> int:
        """
        Return a whole number from 0 to ``bound`` - 1, each equally likely.

        Four bytes, big-endian. Values in the incomplete last run of ``bound`` are drawn again:
        taking them modulo ``bound`` would favour the small numbers.

        :raises ValueError: if ``bound`` is not 1 to 2^32.
        :raises RuntimeError: if the generator must be reseeded first.
        """
        if not 1 <= bound <= DRAW_RANGE:
            raise ValueError("bound must be 1 to 2^32")
        limit = DRAW_RANGE - DRAW_RANGE % bound
        while True:
            value = int.from_bytes(self._draw(), "big")
            if value < limit:
                return value % bound

    def _draw(self) -> bytes:
        """Return ``generate(DRAW_BYTES)``, with its three HMAC written out."""
        self._count_request()
        inner, outer = self._inner, self._outer
        value = sha256(outer + sha256(inner + self._value).digest()).digest()
        key = sha256(outer + sha256(inner + value + b"\x00").digest()).digest()
        self._inner, self._outer = inner, outer = _padded(key)
        self._value = sha256(outer + sha256(inner + value).digest()).digest()
        return value[:DRAW_BYTES]

    def _count_request(self) -> None:
        if self._requests > RESEED_INTERVAL:
            raise RuntimeError("the generator must be reseeded")
        self._requests += 1

    def _mac(self, data: bytes) -> bytes:
        return sha256(self._outer + sha256(self._inner + data).digest()).digest()

    def _update(self, data: bytes) -> None:
        """Update the state (section 10.1.2.2)."""
        for separator in (b"\x00", b"\x01") if data else (b"\x00",):
            self._inner, self._outer = _padded(self._mac(self._value + separator + data))
            self._value = self._mac(self._value)


def _padded(key: bytes) -> tuple[bytes, bytes]:
    """Return a key of 32 bytes as RFC 2104 sets it before the inner and the outer hash."""
    return key.translate(_INNER) + _INNER_REST, key.translate(_OUTER) + _OUTER_REST
