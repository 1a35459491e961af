"""Random packets of the binary protocol."""

import struct

from .commands import CHOSEN, NEVER_ISSUED, Commands

GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH = range(9)
APPEND, PREPEND = 0x0E, 0x0F


class Packets(Commands):
    """A source of random packets over the keys of one conversation. A cas stands as a placeholder of
    its own, filled in when the packet is sent."""

    #: What stands for a token in a packet: eight bytes that say which one.
    PLACE = b"\x00cas:"

    def packet(self):
        kinds = [self.get, self.store, self.join, self.delete, self.count, self.touch, self.plain, self.broken]
        return self.random.choices(kinds, [30, 25, 10, 8, 15, 12, 5, 2])[0]()

    def bytes(self, opcode, extras=b"", key=b"", value=b"", cas=None, body=None, magic=0x80):
        body = len(extras) + len(key) + len(value) if body is None else body
        opaque = self.random.getrandbits(32)
        junk = self.random.choices([0, 1, 255], [30, 1, 1])[0]
        header = struct.pack(">BBHBBHII", magic, opcode, len(key), len(extras), junk, junk, body, opaque)
        return header + (cas or bytes(8)) + extras + key + value

    def short_key(self):
        return self.key()[:250]

    def cas(self):
        if self.chance(0.6):
            return bytes(8)
        if self.in_one_stream or self.chance(0.3):
            return struct.pack(">Q", self.one_of(NEVER_ISSUED, 2**64 - 1, int(CHOSEN[0])))
        return self.PLACE + self.random.choice([b"\xff\xff\xff", struct.pack(">I", self.random.randrange(40))[1:]])

    def when(self):
        return self.random.choices(
            [0, 100, 1000, 2592000, 2592001, 1999999999, 0xFFFFFFFF, 4000000000], [30, 20, 8, 2, 2, 2, 2, 2]
        )[0]

    def get(self):
        return self.bytes(self.one_of(0x00, 0x09, 0x0C, 0x0D), key=self.short_key())

    def store(self):
        opcode = self.one_of(SET, SET, SET, ADD, REPLACE, 0x11, 0x12, 0x13)
        flags = self.one_of(0, 0, 5, 0xFFFFFFFF)
        return self.bytes(opcode, struct.pack(">II", flags, self.when()), self.short_key(), self.value(), self.cas())

    def join(self):
        return self.bytes(self.one_of(APPEND, PREPEND, 0x19, 0x1A), key=self.short_key(), value=self.value(), cas=self.cas())

    def delete(self):
        return self.bytes(self.one_of(DELETE, 0x14), key=self.short_key(), cas=self.cas())

    def count(self):
        opcode = self.one_of(INCR, INCR, DECR, 0x15, 0x16)
        number = lambda: self.random.choices([0, 1, 5, 10, 100, 2**64 - 1], [2, 9, 5, 5, 3, 1])[0]
        key, delta, initial = self.short_key(), number(), number()
        if self.in_one_stream:
            # A counter that keeps its length: see `counter` of the text commands.
            opcode, key, delta, initial = self.one_of(INCR, 0x15), self.prefix + b"p", 3, 500000
        return self.bytes(opcode, struct.pack(">QQI", delta, initial, self.when()), key, cas=self.cas())

    def touch(self):
        return self.bytes(self.one_of(0x1C, 0x1D, 0x1E, 0x23, 0x24), struct.pack(">I", self.when()), self.short_key())

    def plain(self):
        kind = self.random.randrange(10)
        if kind == 0:
            return self.bytes(self.one_of(FLUSH, 0x18), self.one_of(b"", bytes(4)))
        if kind == 1:
            return self.bytes(self.one_of(0x1B, 0x1F, 0x25, 0x30, 0x3C, 0x40, 0xFF))
        if kind == 2:
            return self.bytes(0x10, key=self.one_of(b"nothing", b"detail", b"detail x", b"detail off", b"cachedump"))
        if kind == 3:
            # SASL without a password file.
            return self.one_of(self.bytes(0x20), self.bytes(0x21, key=b"PLAIN", value=b"\0a\0b"), self.bytes(0x22, key=b"x"))
        return self.bytes(self.one_of(0x0A, 0x0B))

    def broken(self):
        """A packet that ends the connection. What stands behind it is never read."""
        self.is_framed = False
        key = self.short_key()
        extras = struct.pack(">II", 0, 0)
        broken = self.one_of(
            lambda: self.bytes(SET, extras, key, b"value", magic=self.one_of(0x81, 0x00, ord("g"))),
            lambda: self.bytes(SET, extras, key, b"value", body=3),
            lambda: self.bytes(GET, key=key, body=0),
            lambda: self.bytes(SET, extras, key, body=0xFFFFFFFF),
            lambda: self.bytes(SET, extras, key, body=(1 << 30) + 1),
            lambda: self.bytes(GET, key=b"k" * 251),
            lambda: self.bytes(SET, extras, b"k" * 300, b"v"),
            lambda: self.bytes(GET, b"xxxx", key),
            lambda: self.bytes(GET),
            lambda: self.bytes(GET, key=key, value=b"v"),
            lambda: self.bytes(SET, extras, b"", b"v"),
            lambda: self.bytes(SET, b"", key, b"v"),
            lambda: self.bytes(APPEND, extras, key, b"v"),
            lambda: self.bytes(DELETE, b"xxxx", key),
            lambda: self.bytes(INCR, extras, key),
            lambda: self.bytes(INCR, bytes(20)),
            lambda: self.bytes(0x0A, key=b"k"),
            lambda: self.bytes(0x0B, b"x"),
            lambda: self.bytes(QUIT, key=key),
            lambda: self.bytes(FLUSH, b"xx"),
            lambda: self.bytes(0x1C, b"", key),
            lambda: self.bytes(0x1D, b"xxxx", b""),
            lambda: self.bytes(0x20, key=b"k"),
            lambda: self.bytes(QUIT),
            lambda: self.bytes(0x17),
        )()
        magic_only_known_by_first_byte = broken[:1] != b"\x80"
        if magic_only_known_by_first_byte:
            # The protocol was decided before: by a packet in front.
            broken = self.bytes(0x0A) + broken
        return broken + bytes(300)


def filled_in(talk, request):
    """The packets with this server's tokens in the places of those that stand for them."""
    at = request.find(Packets.PLACE)
    while at >= 0:
        index = int.from_bytes(request[at + 5 : at + 8], "big")
        tokens = talk.tokens
        token = (tokens[-1] if index == 0xFFFFFF else tokens[index % len(tokens)]) if tokens else talk.unknown
        request = request[:at] + struct.pack(">Q", token) + request[at + 8 :]
        at = request.find(Packets.PLACE, at + 8)
    return request
