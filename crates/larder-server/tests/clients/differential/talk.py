"""Connections to the two servers."""

import socket

#: Said behind every request in lockstep: its reply says that everything before has been answered.
TEXT_NOOP = b"mg end Odifferential-end\r\n"
TEXT_END = b"EN Odifferential-end\r\n"
NOOP_OPAQUE = b"\xfe\xdc\xba\x98"
BINARY_NOOP = b"\x80\x0a" + bytes(10) + NOOP_OPAQUE + bytes(8)
BINARY_FLUSH = b"\x80\x08" + bytes(22)
BINARY_END = b"\x81\x0a" + bytes(10) + NOOP_OPAQUE + bytes(8)
CLOSED = b"(closed)"


class Talk:
    """One connection to one server. Tokens that it saw are known by the order of their coming."""

    def __init__(self, address):
        self.address = address
        self.stream = None
        self.tokens = []
        #: What a request names while none was seen: older than all that a server issues.
        self.unknown = 1
        self.received = bytearray()
        #: Seconds by which the server's clock was moved, as memcached sums them up.
        self.shifted = 0

    def connect(self):
        if self.stream is None:
            self.stream = socket.create_connection(self.address, timeout=5)
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.stream is not None:
            self.stream.close()
        self.stream = None
        self.received.clear()

    def exchange(self, request, noop, end):
        """Sends a request and the end marker's request; returns what came before the marker."""
        self.connect()
        try:
            self.stream.sendall(request + noop)
            while not self.received.endswith(end):
                piece = self.stream.recv(1 << 16)
                if not piece:
                    reply = bytes(self.received) + CLOSED
                    self.close()
                    return reply
                self.received += piece
        except OSError as error:
            silent = isinstance(error, TimeoutError)
            reply = bytes(self.received) + (b"(waits)" if silent else CLOSED)
            self.close()
            return reply
        reply = bytes(self.received[: -len(end)])
        self.received.clear()
        return reply

    def line(self, request, is_whole):
        """Sends a request in one piece, and reads one line. Of one that is not whole nothing is read but
        that the server closes, or waits for the rest."""
        self.connect()
        try:
            self.stream.sendall(request)
            if not is_whole:
                self.stream.shutdown(socket.SHUT_WR)
            reply = bytearray()
            while not reply.endswith(b"\n"):
                piece = self.stream.recv(1 << 16)
                if not piece:
                    return bytes(reply) + CLOSED
                reply += piece
            return bytes(reply)
        except TimeoutError:
            return b"(waits)"
        except OSError:
            return CLOSED

    def whole(self, stream):
        """Sends a whole stream on a connection of its own, and reads until the server closes."""
        answer = bytearray()
        with socket.create_connection(self.address, timeout=5) as connection:
            try:
                connection.sendall(stream)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                # The server has closed already; what it said before can still be read.
                pass
            try:
                while piece := connection.recv(1 << 16):
                    answer += piece
            except ConnectionResetError:
                pass
        return bytes(answer)
