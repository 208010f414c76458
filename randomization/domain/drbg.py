"""
HMAC_DRBG with SHA-256: the generator behind the list (NIST SP 800-90A Rev. 1, section 10.1.2).

Deterministic: the same inputs give the same bytes on every machine and every version of Python,
which is what lets a second program reproduce the list. Known answers of NIST's validation program
are in tests/vectors/drbg.json. Without prediction resistance: the seed is the only secret.
"""

from __future__ import annotations

import hmac

OUTPUT_BYTES = 32
# SP 800-90A Rev. 1, table 2: at most 2^19 bits for one request, 2^48 requests between reseeds.
LARGEST_REQUEST = 2**16
RESEED_INTERVAL = 2**48
# SP 800-90A Rev. 1, table 2: entropy at least as long as the security strength of 256 bits.
LEAST_ENTROPY = 32
DRAW_BYTES = 4
DRAW_RANGE = 2 ** (8 * DRAW_BYTES)


class HmacDrbg:
    """A deterministic generator of random bytes and of unbiased whole numbers."""

    def __init__(self, entropy: bytes, *, nonce: bytes = b"", personalization: bytes = b"") -> None:
        """
        Instantiate (section 10.1.2.3).

        :raises ValueError: if ``entropy`` is shorter than 32 bytes.
        """
        if len(entropy) < LEAST_ENTROPY:
            raise ValueError("entropy must be 32 bytes or more")
        self._key = b"\x00" * OUTPUT_BYTES
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
        if self._requests > RESEED_INTERVAL:
            raise RuntimeError("the generator must be reseeded")
        output = b""
        while len(output) < length:
            self._value = self._mac(self._value)
            output += self._value
        self._update(b"")
        self._requests += 1
        return output[:length]

    def uniform(self, bound: int) -> int:
        """
        Return a whole number from 0 to ``bound`` - 1, each equally likely.

        Four bytes, big-endian. Values in the incomplete last run of ``bound`` are drawn again:
        taking them modulo ``bound`` would favour the small numbers.

        :raises ValueError: if ``bound`` is not 1 to 2^32.
        """
        if not 1 <= bound <= DRAW_RANGE:
            raise ValueError("bound must be 1 to 2^32")
        limit = DRAW_RANGE - DRAW_RANGE % bound
        while True:
            value = int.from_bytes(self.generate(DRAW_BYTES), "big")
            if value < limit:
                return value % bound

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")

    def _update(self, data: bytes) -> None:
        """Update the state (section 10.1.2.2)."""
        for separator in (b"\x00", b"\x01") if data else (b"\x00",):
            self._key = self._mac(self._value + separator + data)
            self._value = self._mac(self._value)
