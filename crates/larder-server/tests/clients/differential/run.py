"""Runs random conversations against both servers and reports what differs.

    python -m differential.run --larderd HOST:PORT --memcached HOST:PORT --protocol meta \\
        --exchanges 100000 [--seed 7] [--conversation 12]
"""

import argparse
import random
import time

from . import commands, logins, older, packets
from .commands import Commands
from .compare import Allowed, binary_reply, text_reply
from .packets import Packets
from .talk import BINARY_END, BINARY_FLUSH, BINARY_NOOP, TEXT_END, TEXT_NOOP, Talk

#: Exchanges of one conversation; its keys are its own.
LENGTH = 60
#: Failures after which a run gives up.
FAILURES_MAX = 12


class Run:
    """One protocol, one seed."""

    def __init__(self, protocol, seed, larderd, memcached, version, moves_time=False, repeats=0):
        self.protocol = protocol
        self.seed = seed
        self.version = version
        self.ours, self.theirs = Talk(larderd), Talk(memcached)
        self.exchanges = 0
        self.failures = []
        self.allowed = {}
        if version == "1.6.18":
            # There the first token is 1.
            self.ours.unknown = self.theirs.unknown = commands.NEVER_ISSUED
        self.moves_time = moves_time
        self.repeats = repeats
        if moves_time:
            for talk in (self.ours, self.theirs):
                assert talk.exchange(b"debugtime p\r\n", TEXT_NOOP, TEXT_END) == b"OK\r\n"
                talk.close()

    def move_time(self, rng):
        """Moves both clocks by the same seconds. memcached moves by the sum of all numbers it was
        told, so it is told the difference."""
        seconds = rng.choice([1, 1, 2, 10, 50, 99, 100, 101, 900, 1100])
        self.tell_time(self.ours, seconds)
        self.tell_time(self.theirs, seconds - self.theirs.shifted)
        self.theirs.shifted = seconds

    def tell_time(self, talk, seconds):
        side = Talk(talk.address)
        assert side.exchange(b"debugtime %d\r\n" % seconds, TEXT_NOOP, TEXT_END) == b"OK\r\n"
        side.close()

    def conversation(self, number):
        """One conversation; stops at the first difference, since the two have parted there."""
        rng = random.Random(f"{self.seed}/{self.protocol}/{number}")
        if self.protocol == "login":
            return self.logins(rng, number)
        prefix = b"%d." % number
        binary = self.protocol == "binary"
        source = (Packets if binary else Commands)(rng, prefix, self.version)
        compare = Allowed(self.version, [prefix + b"X", prefix + b"Y"])
        for talk in (self.ours, self.theirs):
            talk.tokens = []
        if number % 4 == 3:
            self.one_stream(source, compare, number)
        else:
            self.lockstep(source, compare, number)
        for name, count in compare.counts.items():
            self.allowed[name] = self.allowed.get(name, 0) + count

    def repeated(self, number):
        """One conversation. Where memcached's own threads are at work on items, a difference counts if it is
        met again: they may have held an item at that moment."""
        before = len(self.failures)
        self.conversation(number)
        for _ in range(self.repeats):
            if len(self.failures) == before:
                return
            del self.failures[before:]
            for talk in (self.ours, self.theirs):
                time.sleep(0.1)
                self.flush(talk)
            self.conversation(number)
            if len(self.failures) == before:
                self.allowed["met once"] = self.allowed.get("met once", 0) + 1

    def flush(self, talk):
        talk.whole(BINARY_FLUSH if self.protocol == "binary" else b"flush_all\r\n")

    def logins(self, rng, number):
        addresses = self.ours.address, self.theirs.address
        source = logins.Logins(rng, self.version)
        for step, (request, replies) in enumerate(logins.conversation(source, addresses)):
            self.exchanges += 1
            if not self.same(Allowed(self.version), request, replies, f"{number}, attempt {step}"):
                return

    def request(self, source):
        while True:
            source.is_framed = True
            request = getattr(source, {"text": "classic", "meta": "meta", "binary": "packet"}[self.protocol])()
            differences = self.differences(request)
            # A large number with a minus behind it is too rare to leave counters out for.
            in_stream = differences - {"minus behind"} and source.in_one_stream
            if differences & set(older.LISTED) or in_stream:
                continue
            # memcached's debug build gives up on a large data block with a wrong end.
            if source.is_framed or not self.moves_time:
                return request

    def differences(self, request):
        """In what the memcached that is asked differs from 1.6.45 over this request."""
        return older.differences(self.protocol, request) if self.version == "1.6.18" else set()

    def lockstep(self, source, compare, number):
        for step in range(LENGTH):
            if self.moves_time and source.chance(0.15):
                self.move_time(source.random)
            request = self.request(source)
            self.exchanges += 1
            requests = [self.filled_in(talk, request) for talk in (self.ours, self.theirs)]
            replies = []
            for talk, sent in zip((self.ours, self.theirs), requests):
                replies.append(self.reply(talk, sent, source.is_framed))
            excuse = older.explains(self.differences(request), request, *replies)
            if excuse and replies[0] != replies[1]:
                name = f"1.6.18: {excuse}"
                self.allowed[name] = self.allowed.get(name, 0) + 1
                for talk in (self.ours, self.theirs):
                    talk.close()
                    # Some keys are those of all conversations.
                    self.flush(talk)
                    # The first byte of a connection decides its protocol.
                    self.reply(talk, b"", True)
                return
            if not self.same(compare, request, replies, f"{number}, step {step}"):
                # Replies may still be under way: the next conversation begins afresh.
                self.ours.close()
                self.theirs.close()
                return

    def filled_in(self, talk, request):
        return (packets if self.protocol == "binary" else commands).filled_in(talk, request)

    def reply(self, talk, request, is_framed):
        binary = self.protocol == "binary"
        if not is_framed:
            reply = talk.whole(request)
        elif binary:
            reply = talk.exchange(request, BINARY_NOOP, BINARY_END)
        else:
            reply = talk.exchange(request, TEXT_NOOP, TEXT_END)
        return (binary_reply if binary else text_reply)(talk, reply)

    def one_stream(self, source, compare, number):
        source.in_one_stream = True
        requests = []
        while len(requests) < LENGTH // 2:
            request = self.request(source)
            if source.is_framed:
                requests.append(request)
        self.exchanges += len(requests)
        stream = b"".join(requests)
        replies = [self.reply(talk, self.filled_in(talk, stream), True) for talk in (self.ours, self.theirs)]
        self.same(compare, stream, replies, f"{number}, one stream")

    def same(self, compare, request, replies, where):
        ours, theirs = replies
        if ours == theirs:
            return True
        if compare(request, ours, theirs):
            return not compare.has_parted
        told = f"--- {self.protocol}, seed {self.seed}, conversation {where}\n    request   {shortened(request)}\n"
        whole = f"{told}{request!r}\n\n{ours!r}\n\n{theirs!r}\n"
        self.failures.append((told + difference(ours, theirs), whole))
        return False

    def until(self, exchanges, first=0):
        number = first
        while self.exchanges < exchanges and len(self.failures) < FAILURES_MAX:
            self.repeated(number)
            number += 1
        self.ours.close()
        self.theirs.close()
        if self.moves_time:
            self.tell_time(self.theirs, -self.theirs.shifted)

    def report(self):
        return (
            f"{self.protocol}: {self.exchanges} exchanges, seed {self.seed}, {len(self.failures)} differences; "
            f"allowed: {self.allowed or 'none needed'}"
        )


def shortened(text, length=700):
    if isinstance(text, bytes):
        text = repr(text)[2:-1]
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


def difference(ours, theirs):
    """The first lines that differ, and what stands before them."""
    left, right = ours.split(b"\n"), theirs.split(b"\n")
    at = next((n for n, pair in enumerate(zip(left, right)) if pair[0] != pair[1]), min(len(left), len(right)))
    show = lambda lines: shortened(b"\n".join(lines[max(0, at - 1) : at + 2]))
    return f"    larderd   {show(left)}\n    memcached {show(right)}\n    (line {at} of {len(left)} and {len(right)})"


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--larderd", type=address, required=True)
    parser.add_argument("--memcached", type=address, required=True)
    parser.add_argument("--version", default="1.6.45")
    parser.add_argument("--protocol", choices=["text", "meta", "binary", "login"], required=True)
    parser.add_argument("--exchanges", type=int, default=10_000)
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--conversation", type=int, default=0, help="the first one")
    parser.add_argument("--move-time", action="store_true", help="both servers know debugtime")
    parser.add_argument("--repeats", type=int, default=0, help="of a conversation that differed, before that counts")
    parser.add_argument("-v", action="store_true", help="print what was sent and received in full")
    arguments = parser.parse_args()
    servers = arguments.larderd, arguments.memcached
    run = Run(arguments.protocol, arguments.seed, *servers, arguments.version, arguments.move_time, arguments.repeats)
    run.until(arguments.exchanges, arguments.conversation)
    print(run.report())
    for failure, whole in run.failures:
        print(whole if arguments.v else failure)


if __name__ == "__main__":
    main()
