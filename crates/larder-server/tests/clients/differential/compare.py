"""Replies made comparable, and the differences that are allowed."""

import base64
import re
import struct

#: Tokens that requests choose (E) stand for themselves: they are above all that a server hands out.
CHOSEN_MIN = 9 * 10**18

VALUE_LINE = re.compile(rb"(VALUE [^ ]+ \d+ \d+ )(\d+)(?=\r\n)")
META_TOKEN = re.compile(rb"(?<= c)(\d+)(?=[ \r])|(?<= cas=)(\d+)(?= )")


def token_name(talk, number):
    """What stands for a token: the same for both servers if it came at the same time."""
    if number == 0 or number >= CHOSEN_MIN:
        return str(number)
    if number not in talk.tokens:
        talk.tokens.append(number)
    return f"cas#{talk.tokens.index(number)}"


def text_reply(talk, reply):
    """A text reply with tokens by name. Values in the tests hold nothing that looks like one."""

    def named(match):
        start, number = match.groups() if match.re is VALUE_LINE else (b"", match.group(0))
        return start + token_name(talk, int(number)).encode()

    return META_TOKEN.sub(named, VALUE_LINE.sub(named, reply))


def binary_reply(talk, reply):
    """Packets, one a line, with tokens by name."""
    lines = []
    closed = reply.endswith(b"(closed)")
    at = 0
    while at + 24 <= len(reply):
        magic, opcode, key, extras, kind, status, body, opaque, cas = struct.unpack(
            ">BBHBBHIIQ", reply[at : at + 24]
        )
        text = reply[at + 24 : at + 24 + body]
        lines.append(
            f"{magic:02x} op={opcode:02x} key={key} extras={extras} type={kind} status={status:04x} "
            f"body={body} opaque={opaque:08x} {token_name(talk, cas)} {text!r}"
        )
        at += 24 + body
    if reply[at:] not in (b"", b"(closed)"):
        lines.append(repr(reply[at:]))
    return "\n".join(lines + ["(closed)"] * closed).encode()


class Allowed:
    """The only differences that pass; each counts how often it was needed."""

    def __init__(self, version, binary_keys=()):
        self.is_1_6_18 = version == "1.6.18"
        self.counts = {}
        #: Raw forms of the keys that requests give in base64.
        self.binary_keys = set(binary_keys)
        self.has_parted = False

    def __call__(self, request, ours, theirs):
        needed = []
        rules = [self.seconds, self.idle, self.class_number, self.marked_key, self.padding]
        if self.is_1_6_18:
            rules.append(self.version)
        for rule in rules:
            before = theirs
            ours, theirs = rule(request, ours, theirs)
            if before != theirs:
                needed.append(rule.__name__)
        if ours != theirs:
            return False
        for name in needed:
            self.counts[name] = self.counts.get(name, 0) + 1
        # From here on the two hold values of different length.
        self.has_parted = "padding" in needed
        return True

    def seconds(self, request, ours, theirs):
        """A lifetime's rest in seconds: memcached's clock ticks once a second, so one off; two for an
        absolute time, since it keeps the second of its start. What is past is 0, where memcached shows
        a wrapped number."""
        pattern = re.compile(rb"(?<= t)(\d+)(?=[ \r])|(?<= exp=)(-?\d+)(?= )")

        def near(left, right):
            number, other = int(left), int(right)
            past = number == 0 and (other > 1 << 31 or other < 0)
            return abs(number - other) <= (1 if number <= 30 * 86400 else 2) or past

        return align(pattern, ours, theirs, near)

    def idle(self, request, ours, theirs):
        """Seconds since the last access: memcached counts from the last one that moved the item."""
        pattern = re.compile(rb"(?<= l)(\d+)(?=[ \r])|(?<= la=)(\d+)(?= )")
        return align(pattern, ours, theirs, lambda left, right: int(left) <= int(right) + 1)

    def class_number(self, request, ours, theirs):
        """Size classes are the engine's own."""
        return align(re.compile(rb"(?<= cls=)(\d+)(?= )"), ours, theirs, lambda *_: True)

    def padding(self, request, ours, theirs):
        """A number that became shorter: memcached pads it to its old length unless something, a reply
        or a thread of its own, refers to the item at that moment."""
        text = re.compile(rb"(VALUE [^ ]+ \d+ |VA )\d+([^\r\n]*)\r\n(\d+) *\r\n")
        packet = re.compile(rb"body=\d+( .*\d) *'")

        def shortened(match):
            start, rest, digits = match.groups()
            rest = re.sub(rb" s\d+", b" s%d" % len(digits), rest)
            return b"%s%d%s\r\n%s\r\n" % (start, len(digits), rest, digits)

        bare = [packet.sub(rb"body\1'", text.sub(shortened, reply)) for reply in (ours, theirs)]
        return (ours, ours) if bare[0] == bare[1] else (ours, theirs)

    def version(self, request, ours, theirs):
        """The version of memcached that larderd speaks."""
        return ours, theirs.replace(b"1.6.18", b"1.6.45")

    def marked_key(self, request, ours, theirs):
        """An item that was created under a key in base64 remembers that; memcached forgets it when N
        creates the item, and when the item is joined to, outgrown by its number, or emptied."""
        left, right = ours.split(b"\r\n"), theirs.split(b"\r\n")
        if len(left) != len(right):
            return ours, theirs
        for at, (line, other) in enumerate(zip(left, right)):
            for key in self.binary_keys:
                encoded = base64.b64encode(key)
                if b" k" + encoded + b" b" in line:
                    right[at] = other = other.replace(b" k" + key, b" k" + encoded + b" b")
                if line.startswith(b"ME " + encoded + b" "):
                    right[at] = other = other.replace(b"ME " + key, b"ME " + encoded, 1)
        return ours, b"\r\n".join(right)


def align(pattern, ours, theirs, near):
    """`theirs` with our numbers where the pattern finds as many in both and they are near enough."""
    left, right = pattern.findall(ours), pattern.findall(theirs)
    flat = lambda found: [next(filter(None, one)) if isinstance(one, tuple) else one for one in found]
    left, right = flat(left), flat(right)
    if len(left) != len(right) or not all(near(*pair) for pair in zip(left, right)):
        return ours, theirs
    numbers = iter(left)
    return ours, pattern.sub(lambda _: next(numbers), theirs)
