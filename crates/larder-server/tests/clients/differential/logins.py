"""Random attempts at text authentication (`-Y`), one attempt a packet.

memcached's answers to what comes before a client is known depend on packets: of several attempts that
it finds in one it answers the last alone. So a stream is cut where an attempt ends, and each piece is
sent once the one before has its reply. What is left of a data block of another length than announced
is the next attempt, as it is for the servers.
"""

from . import older
from .talk import TEXT_END, TEXT_NOOP, Talk

#: The password file: memcached takes eight lines, and any of several for one user.
USERS = b"foo:bar\nme:my pass:word\r\ntwice:one\ntwice:two\nempty:\n:nameless\nhigh:\xff\x80\nlast:line"
PAIRS = [b"foo bar", b"me my pass:word", b"twice one", b"twice two", b"empty ", b" nameless", b"high \xff\x80", b"last line"]
#: A larger data block does not fit memcached's buffer with its end: it closes instead.
BLOCK_BYTES_MAX = 16382
#: A longer line closes the connection here; to memcached only if it does not arrive at once.
LINE_BYTES_MAX = 2048
#: Attempts of one connection.
LENGTH = 12


def users(version):
    """The password file. 1.6.18 cuts a last line short that does not end."""
    return USERS + b"\n" * (version == "1.6.18")


def counted(address):
    """What a server has counted of attempts."""
    talk = Talk(address)
    talk.line(b"set k 0 0 7\r\nfoo bar\r\n", True)
    lines = talk.exchange(b"stats\r\n", TEXT_NOOP, TEXT_END).splitlines()
    talk.close()
    return [line for line in lines if line.startswith(b"STAT auth_")]


class Logins:
    """A source of random attempts."""

    def __init__(self, random, version):
        self.random = random
        self.version = version

    def one_of(self, *choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    def request(self):
        while True:
            request = self.login() if self.chance(0.75) else self.other()
            if self.is_asked(request):
                return request

    def is_asked(self, attempt):
        """Whether both servers are to answer an attempt in the same way."""
        line, end, block = attempt.partition(b"\n")
        if end and len(line) > LINE_BYTES_MAX or len(block) > BLOCK_BYTES_MAX + 2:
            return False
        return self.version != "1.6.18" or older.is_login_asked_alike(attempt)

    def credentials(self):
        pair = self.random.choice(PAIRS)
        if self.chance(0.2):
            return pair
        user, _, password = pair.partition(b" ")
        return self.one_of(
            user + b" wrong", pair[:-1], pair + b"x", pair + b" ", b" " + pair, user + b"  " + password,
            b"nobody " + password, user, user + password, b"", b" ", b"  ", b"FOO bar", b"foo:bar", b"foo bar\0",
            b"foo b\rar", b"\0", b"foo\tbar", b"foo bar baz", bytes(self.random.choices(b"fo bar:\r\n\0\xff", k=9)),
            b"foo " + b"x" * self.one_of(300, 5000, BLOCK_BYTES_MAX - 4),
        )

    def login(self):
        block = self.credentials()
        length = b"%d" % len(block)
        if self.chance(0.05):
            length = b"%d" % max(0, len(block) + self.one_of(-9, -3, -2, -1, 1, 2, 3, 40))
        elif self.chance(0.05):
            length = self.one_of(
                b"", b"x", b"-1", b"+7", b"7x", b"007", b"0x7", b"16385", b"4294967295", b"4294967296", b"0" * 12, b"7 ",
            )
        verb = self.random.choices([b"set", b"setting", b"SET", b" set", b"add", b"sets", b"gset"], [40, 1, 1, 1, 1, 1, 1])[0]
        words = [verb, self.one_of(b"k", b"k" * 300, b"\xff"), self.one_of(b"0", b"x"), self.one_of(b"0", b"-1", b"x"), length]
        words += self.random.choices([[], [b"noreply"], [b"x"] * 30], [20, 2, 1])[0]
        end = b"\r\n" if self.chance(0.95) else self.one_of(b"\n", b"\r\r", b"ab", b"xyz\r\n")
        return self.one_of(b" ", b" ", b" ", b"  ").join(words) + b"\r\n" + block + end

    def other(self):
        if self.chance(0.05):
            # Too short a line ends the connection, and so does one that does not end.
            return self.one_of(b"quit\r\n", b"get\r\n", b"\r\n", b"\n", b"a\n", b"12345\n", b"x" * (LINE_BYTES_MAX + 1), b"set " + b"k" * 3000)
        line = self.one_of(
            b"get k", b"version", b"quit now", b"mg k v", b"stats settings", b"flush_all", b"set", b"set k 0 0",
            b"set k 0 0 ", b"\0\0\0\0\0\0\0", b"GET / HTTP/1.1", b"\x80\x00\x00\x01 binary", b"x" * 2000, b"get " + b"k " * 1000,
        )
        return (line + b"      ")[: max(len(line), 6)] + self.one_of(b"\r\n", b"\r\n", b"\n")


def attempts(stream):
    """A stream cut where attempts end; the last piece may be incomplete."""
    while stream:
        line, end, rest = stream.partition(b"\n")
        words = line.split(b" ")
        words = [word for word in words if word]
        size = words[4].removesuffix(b"\r") if len(words) > 4 else b""
        is_login = line.startswith(b"set") and size.isdigit() and len(size) <= 11 and int(size) <= 16384
        taken = int(size) + 2 if is_login else 0
        piece = line + end + rest[:taken]
        if len(piece) < 3:
            # Not even looked at before a third byte comes.
            taken = 3 - len(piece)
            piece += rest[:taken]
        yield piece, len(piece) >= 3 and bool(end) and len(rest) >= taken
        stream = rest[taken:]


def conversation(source, addresses):
    """One connection to each server, until it is known or closed. Yields what was sent, with both
    answers."""
    stream = b"".join(source.request() for _ in range(LENGTH))
    talks = [Talk(address) for address in addresses]
    for piece, is_whole in attempts(stream):
        # What is left of a data block may be what neither of the two is asked.
        if not source.is_asked(piece):
            break
        answers = [talk.line(piece, is_whole) for talk in talks]
        yield piece, answers
        if answers[0] != b"STORED\r\n":
            if answers[0].endswith(b"\n"):
                continue
            break
        # From here on it is a connection as any other.
        for request in (b"version\r\n", b"set k 0 0 7\r\nfoo bar\r\n", b"get k\r\n", b"bogus\r\n"):
            yield request, [talk.exchange(request, TEXT_NOOP, TEXT_END) for talk in talks]
        break
    for talk in talks:
        talk.close()
