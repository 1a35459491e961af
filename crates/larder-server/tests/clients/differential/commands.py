"""Random commands of the text protocols. A request may name a token: `{cas:n}` is the n-th that the
server handed out, `{cas:last}` the latest."""

import base64
import re

TOKEN = re.compile(rb"\{cas:(\w+)\}")
CHOSEN = [b"9000000000000000000", b"9000000000000000001", b"9000000000000000007"]
# Issued by neither server: memcached counts from 1, so that 1 is now and then the token of its first item.
NEVER_ISSUED = 1 << 40


def filled_in(talk, request):
    """The request with this server's tokens."""

    def number(match):
        name = match.group(1)
        if not talk.tokens:
            return b"%d" % talk.unknown
        index = -1 if name == b"last" else int(name) % len(talk.tokens)
        return str(talk.tokens[index]).encode()

    return TOKEN.sub(number, request)


class Commands:
    """A source of random requests over a few keys of one conversation."""

    def __init__(self, random, prefix, version="1.6.45"):
        self.random = random
        self.prefix = prefix
        self.version = version
        #: The last request may have a data block of another length than it says, or be a line that
        #: nobody reads to its end: it needs a connection of its own.
        self.is_framed = True
        #: Requests that come next.
        self.told = []
        #: Requests of one stream must not depend on tokens, nor shorten numbers that are read in it.
        self.in_one_stream = False

    def one_of(self, *choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    def key(self):
        if self.chance(0.01):
            return b"k" * self.one_of(249, 250, 251, 400)
        if self.chance(0.005):
            return self.one_of(b"\x80key", b"\ttab", b"cr\rkey", b"{}", b"nul\0key")
        return self.prefix + self.one_of(b"a", b"b", b"c", b"n", b"m")

    def binary_key(self):
        return self.prefix + self.one_of(b"X", b"Y")

    def token(self):
        if self.in_one_stream:
            return self.one_of(b"0", b"%d" % NEVER_ISSUED, b"18446744073709551615", *CHOSEN)
        return self.random.choices(
            [b"{cas:last}", b"{cas:%d}" % self.random.randrange(40), b"0", b"%d" % NEVER_ISSUED,
             b"18446744073709551615", self.random.choice(CHOSEN)],
            [5, 5, 1, 1, 1, 2],
        )[0]

    def value(self):
        kind = self.random.random()
        if kind < 0.3:
            return str(self.one_of(0, 1, 9, 10, 99, 1000, 2**64 - 1, 2**64, self.random.randrange(10**9))).encode()
        if kind < 0.35:
            return self.one_of(b" 12", b"12 ", b"+5", b"-1", b"0x", b"007", b"1\n2", b"", b"12a")
        if kind < 0.37:
            return b"v" * self.one_of(1040000, 1048490, 1048505, 1048516, 1048517, 1048576, 600000)
        value = bytes(self.random.choices(b"abc \r\n\x00\xff", k=self.random.randrange(40)))
        # Counting white space and nothing else, memcached reads on behind the value.
        return value if value.strip() else b"a" + value

    def exptime(self):
        return self.random.choices(
            [b"0", b"100", b"-1", b"1000", b"2592000", b"2592001", b"4000000000", b"1999999999",
             b"4294967296", b"4294967400", b"-5", b"+100", b"x", b"", b"00100", b"99999999999999999999"],
            [40, 20, 8, 8, 2, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1],
        )[0]

    def strict_exptime(self):
        return self.random.choices(
            [b"0", b"100", b"-1", b"1000", b"2592000", b"2592001", b"1999999999", b"-", b"x",
             b"2147483648", b"00000000100", b"000000000100", b"-100"],
            [40, 20, 8, 8, 2, 2, 2, 1, 1, 1, 1, 1, 1],
        )[0]

    def flags(self):
        return self.random.choices(
            [b"0", b"5", b"4294967295", b"4294967296", b"4294967301", b"-1", b"+5", b"x",
             b"18446744073709551615", b"18446744073709551616"],
            [30, 10, 2, 1, 1, 1, 1, 1, 1, 1],
        )[0]

    def line_end(self):
        return b"\n" if self.chance(0.03) else b"\r\n"

    def block(self, value):
        """A data block, rarely with a wrong end or length; returns it with what is announced."""
        length = len(value)
        end = b"\r\n"
        if self.chance(0.02):
            end = self.one_of(b"\n", b"\r\r", b"ab\r\n")
            self.is_framed = False
        if self.chance(0.01):
            length = max(0, length + self.one_of(-1, 1, 2))
            self.is_framed = False
        announced = str(length).encode()
        if self.chance(0.01) and length < 1000:
            self.is_framed = False
            announced = self.one_of(b"-1", b"2147483646", b"x", b"+2", b"-", b"-0", b"99999999999999", b"0" * 12)
        return value + end, announced

    # -- the classic protocol ---------------------------------------------------------------------

    def classic(self):
        kinds = [self.classic_store, self.retrieve, self.change, self.admin, self.odd]
        return self.random.choices(kinds, [40, 30, 25, 3, 2])[0]()

    def tail(self):
        return self.random.choices([b"", b" noreply", b" noreply ", b" x", b" "], [30, 4, 1, 1, 1])[0]

    def classic_store(self):
        verb = self.random.choices(
            [b"set", b"add", b"replace", b"append", b"prepend", b"cas"], [8, 3, 3, 3, 3, 5]
        )[0]
        value, length = self.block(self.value())
        # Without an exptime the cas unique would be the length, and differ.
        # Nor would a long block behind an unreadable line be read as lines.
        exptime = self.exptime() or (b"0" if verb == b"cas" or len(value) > 1000 else b"")
        line = b" ".join([verb, self.key(), self.flags(), exptime, length])
        if verb == b"cas" and not self.chance(0.02):
            line += b" " + (self.one_of(b"x", b"-1", b"18446744073709551616") if self.chance(0.03) else self.token())
        return line + self.tail() + self.line_end() + value

    def retrieve(self):
        verb = self.random.choices([b"get", b"gets", b"gat", b"gats"], [5, 5, 2, 2])[0]
        keys = [self.key() for _ in range(self.one_of(1, 1, 1, 2, 5, 30))]
        if any(len(key) > 250 for key in keys):
            # memcached 1.6.45 adds an empty line there (section 21, 1).
            keys = [key[:250] for key in keys]
        if verb.startswith(b"gat"):
            keys.insert(0, self.strict_exptime())
        if self.chance(0.01):
            keys = keys[:0]
        return b" ".join([verb, *keys]) + self.one_of(b"", b"", b" ") + self.line_end()

    def change(self):
        verb = self.random.choices([b"delete", b"incr", b"decr", b"touch"], [2, 5, 5, 3])[0]
        key = self.key()
        if verb == b"delete":
            arguments = [self.random.choices([b"", b"0", b"10 20"], [20, 1, 1])[0]]
        elif verb == b"touch":
            arguments = [self.strict_exptime()]
        else:
            numbers = [b"1", b"5", b"10", b"100", b"0", b"18446744073709551615", b"18446744073709551616", b"-1", b"x", b"0001"]
            arguments = [self.random.choices(numbers, [8, 8, 8, 4, 1, 2, 1, 1, 1, 1])[0]]
        if self.chance(0.01):
            arguments = []
        if self.in_one_stream and verb in (b"incr", b"decr"):
            return self.counter()
        return b" ".join([verb, key, *arguments]) + self.tail() + self.line_end()

    def counter(self):
        """A counter that keeps its length: memcached pads a shorter one only if no reply of the same
        stream still refers to the item."""
        key = self.prefix + b"p"
        return self.one_of(
            b"add %s 3 0 6\r\n500000\r\n", b"incr %s 7\r\n", b"decr %s 5\r\n", b"get %s\r\n", b"gets %s\r\n",
        ) % key

    def admin(self):
        if self.in_one_stream and self.chance(0.3):
            return self.one_of(b"mn\r\n", b"mn x\r\n", b"mn \n")
        line = self.one_of(
            b"version", b"version 1", b"verbosity 0", b"verbosity", b"verbosity x", b"verbosity 0 noreply",
            b"verbosity 4294967296", b"flush_all", b"flush_all 0", b"flush_all -1", b"flush_all x",
            b"flush_all noreply", b"flush_all 0 noreply",
        )
        return line + b"\r\n"

    def odd(self):
        line = self.one_of(
            b"", b"a", b"ab", b"bogus", b"bogus noreply", b"bogus x noreply", b"SET a 0 0 1", b" get a",
            b" version", b"get", b"gets ", b"gat", b"gat 10", b"set", b"set a 0 0", b"incr", b"incr a",
            b"touch a", b"touch", b"delete", b"mx a", b"mi a", b"mgg a", b"HTTP/1.1", b"getx a", b"\x80\x81",
            b"cas a 0 0", b"quitx", b"stats nothing",
        )
        return line + self.line_end()

    # -- the meta protocol ------------------------------------------------------------------------

    def meta(self):
        if self.told:
            return self.told.pop(0)
        if self.chance(0.02):
            self.tell_of_a_late_store()
        kinds = [self.mg, self.ms, self.md, self.ma, self.me, self.meta_odd]
        return self.random.choices(kinds, [40, 30, 12, 18, 3, 2])[0]()

    def tell_of_a_late_store(self):
        """A store with an older token of its own key. Tokens of other keys have no order with it."""
        key = self.prefix + self.one_of(b"a", b"b")
        flags = self.one_of(b"", b"T100", b"T0 F5", b"MR", b"N10", b"E9000000000000000003", b"q")
        self.told = [b"ms %s 1 T50\r\nx\r\n" % key, b"mg %s c\r\n" % key, b"ms %s 1 T70\r\ny\r\n" % key]
        self.told += self.one_of([], [b"md %s I\r\n" % key], [b"md %s I T30\r\n" % key, b"mg %s c v t\r\n" % key])
        self.told.append(b"ms %s 4 I C{cas:last} c s k %s\r\nlate\r\n" % (key, flags))
        self.told.append(b"mg %s s v t f h\r\n" % key)

    def meta_key(self):
        if self.chance(0.15):
            return base64.b64encode(self.binary_key()), [b"b"]
        if self.chance(0.01):
            return self.one_of(b"Zm9", b"!!!!", b"Z==="), [b"b"]
        if self.chance(0.03):
            return self.binary_key(), []
        return self.key(), []

    def flag(self, letter):
        """A flag with an argument that is mostly right."""
        wrong = self.chance(0.01)
        argument = b""
        if letter in b"TN":
            argument = self.strict_exptime()
        elif letter in b"R":
            argument = self.one_of(b"30", b"200", b"0", b"-1", b"2000", b"2592001")
        elif letter in b"CE":
            argument = self.token() if letter in b"C" else self.one_of(b"0", *CHOSEN)
            if self.is_order_asked:
                argument = self.one_of(b"0", b"1", b"18446744073709551615", *CHOSEN)
        elif letter in b"F":
            argument = self.one_of(b"0", b"7", b"4294967295")
            if self.chance(0.03):
                argument = self.one_of(b"4294967296", b"x", b"")
        elif letter in b"JD":
            argument = self.one_of(b"0", b"1", b"10", b"100", b"18446744073709551615")
        elif letter in b"O":
            argument = b"o" * self.random.choices([0, 1, 5, 31], [1, 9, 3, 1])[0]
        elif letter in b"M":
            argument = self.one_of(b"S", b"E", b"A", b"P", b"R", b"I", b"D", b"+", b"-", b"Set")
        elif letter in b"PL":
            argument = self.one_of(b"", b"x", b"1")
        if wrong:
            argument = self.one_of(b"", b"x", b"-1", b"99999999999999999999999", b"1 ")
        return letter + argument

    def meta_line(self, verb, likely, argument=(), always=()):
        key, flags = self.meta_key()
        count = min(len(likely), self.random.choice([0, 1, 1, 2, 2, 3, 4, 6, 9]))
        letters = self.random.sample(likely, count)
        others = [b"k", b"O", b"q", b"c", b"s", b"t", b"f", b"h", b"l", b"u", b"v", b"C", b"E", b"F",
                  b"T", b"N", b"R", b"I", b"x", b"M", b"J", b"D", b"P", b"L", b"W", b"X", b"Z", b"S", b"1", b"!", b"_"]
        if self.chance(0.06):
            letter = self.random.choices(others, [1] * 24 + [0.3] * 7)[0]
            letters += [letter] * (verb != b"ma" or letter not in b"ET")
        if self.chance(0.01) and letters:
            letters.append(letters[0])
        self.is_order_asked = b"I" in letters
        flags += [self.flag(letter) for letter in letters if letter != b"b" or not flags]
        if self.chance(0.003):
            flags += [b"P%d" % n for n in range(20)]
        flags += always
        self.random.shuffle(flags)
        gap = self.random.choices([b" ", b"  "], [30, 1])[0]
        return gap.join([verb, key, *argument, *flags]) + self.one_of(b"", b"", b" ") + self.line_end()

    def mg(self):
        return self.meta_line(b"mg", [b"v", b"t", b"c", b"f", b"s", b"k", b"O", b"q", b"h", b"l", b"u", b"T", b"N", b"R", b"C", b"E"])

    def ms(self):
        value, length = self.block(self.value())
        line = self.meta_line(b"ms", [b"T", b"F", b"C", b"I", b"M", b"N", b"E", b"c", b"s", b"k", b"O", b"q"], [length])
        if b" !" in line and len(value) > 1000:
            # A long block behind an unreadable line is a line that is too long.
            return self.ms()
        return line + value

    def md(self):
        return self.meta_line(b"md", [b"q", b"C", b"I", b"T", b"x", b"E", b"F", b"k", b"O"])

    def ma(self):
        modes = [b"M", b"D", b"J", b"N", b"T", b"C", b"E", b"q", b"v", b"c", b"t", b"k", b"O"]
        if self.in_one_stream:
            return self.counter()
        if self.chance(0.5):
            modes.remove(b"E")
            modes.remove(b"T")
            return self.meta_line(b"ma", modes)
        # With a number that gets longer memcached gives token and lifetime to the item that it
        # replaces.
        modes.remove(b"D")
        return self.meta_line(b"ma", modes, always=[b"D0"])

    def me(self):
        key, flags = self.meta_key()
        # memcached 1.6.45 looks at `b` only if a further token follows (section 21, 3).
        flags += [b"x"] * len(flags)
        return b" ".join([b"me", key, *flags]) + b"\r\n"

    def meta_odd(self):
        line = self.one_of(
            b"mg", b"ms", b"md", b"ma", b"me", b"ms a", b"ms a x", b"ms a -1", b"ms a S1", b"ms a 1 !",
            b"mg a !", b"mg a \x80", b"md a ~", b"ma a !", b"me a !", b"mg a S100", b"ma a MX", b"mg a MX",
            b"mg a " + b" ".join([b"P"] * 2), b"mg a " + b" ".join(bytes([n]) for n in b"ktcfshluvqOPLTNR"),
        )
        return line + self.line_end()
