"""The random stream that belongs to a call: the one that JavaScript would have drawn from, from where it stands."""

import random


class Stream(random.Random):
    """All that Python's own has. `random()`, `choice` and `shuffle` draw what `random`, `pick` and `shuffled` draw in TypeScript."""

    def go_to(self, words):
        """To a state of xoroshiro128+, as four signed 32-bit words."""
        a, b, c, d = (int(word) % 2**32 for word in words)
        self._s0 = a << 32 | b
        self._s1 = c << 32 | d
        self.gauss_next = None
        return self

    def words(self):
        parts = (self._s0 >> 32, self._s0, self._s1 >> 32, self._s1)
        return [(part + 2**31) % 2**32 - 2**31 for part in parts]

    def _next(self):
        s0, s1 = self._s0, self._s1
        mixed = s0 ^ s1
        self._s0 = (s0 << 24 | s0 >> 40) & _64 ^ mixed ^ mixed << 16 & _64
        self._s1 = (mixed << 37 | mixed >> 27) & _64
        return s0 + s1

    def random(self):
        high = self._next() & 0x3FFFFFF
        return high * 2.0**-26 + (self._next() & 0x7FFFFFF) * 2.0**-53

    def _randbelow(self, n):
        return int(self.random() * n) if n <= 2**53 else self.getrandbits(n.bit_length() + 64) % n

    def getrandbits(self, k):
        bits = 0
        for _ in range(-(-k // 26)):
            bits = bits << 26 | self._next() & 0x3FFFFFF
        return bits & (1 << k) - 1

    def seed(self, *_args, **_kwargs):
        """Which stream it is, the study says."""

    def getstate(self):
        return self.words()

    def setstate(self, state):
        self.go_to(state)


_64 = 2**64 - 1
