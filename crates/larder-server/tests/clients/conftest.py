"""Servers for the tests: each on a port of its own, stopped afterwards."""

import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

import pytest

LARDERD = os.environ["LARDERD"]
FETCHED = pathlib.Path(os.environ["FETCHED"])
DOCUMENT = pathlib.Path(__file__).parents[4] / "docs" / "compatibility.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- clients: begin -->", "<!-- clients: end -->"

# What clients came to: (client, version, protocol) to result.
RESULTS = {}


def record(client, version, protocol, result):
    """Notes a line for the table of clients in the document."""
    RESULTS[client, version, protocol] = result


def fetched(name):
    """The folder of something that the run has fetched; without it the test is skipped."""
    folder = FETCHED / name
    if not (folder / ".complete").exists():
        pytest.skip(f"{name} could not be fetched")
    return folder


def pytest_sessionfinish(session, exitstatus):
    """Writes the table of clients, unless something was left out or has failed."""
    if exitstatus != 0 or len(RESULTS) < CLIENTS:
        print(f"\nthe table of clients is left as it is: {len(RESULTS)} of {CLIENTS} have a result")
        return
    text = DOCUMENT.read_text()
    before, rest = text.split(TABLE_BEGINS)
    _, behind = rest.split(TABLE_ENDS)
    rows = ["| client | version | protocol | result |", "| --- | --- | --- | --- |"]
    for (client, version, protocol), result in sorted(RESULTS.items()):
        rows.append(f"| {client} | {version} | {protocol} | {result} |")
    DOCUMENT.write_text("\n".join([before + TABLE_BEGINS, *rows, TABLE_ENDS]) + behind)


# Lines that a full run has.
CLIENTS = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running memcached-protocol server."""

    def __init__(self, command, port):
        self.port = port
        self.address = ("127.0.0.1", port)
        self.process = subprocess.Popen(command)
        for _ in range(400):
            try:
                socket.create_connection(self.address).close()
                return
            except OSError:
                time.sleep(0.025)
        raise RuntimeError(f"did not come up: {command}")

    def encrypted(self, context):
        """A connection whose other end is the certificate of `localhost`."""
        return context.wrap_socket(self.connect(), server_hostname="localhost")

    def connect(self):
        return socket.create_connection(self.address, timeout=60)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def stats(self):
        with self.connect() as stream:
            stream.sendall(b"stats\r\n")
            answer = b""
            while not answer.endswith(b"END\r\n"):
                answer += stream.recv(1 << 16)
        words = (line.split(b" ", 2) for line in answer.splitlines())
        return {word[1].decode(): word[2].decode() for word in words if word[0] == b"STAT"}

    def stop(self):
        """Asks it to end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class Certificates:
    """An authority, a server's certificate by it and a client's, in files, made by the openssl tool."""

    def __init__(self, folder):
        self.folder = folder
        self.make("authority", "-x509", "-subj", "/CN=authority")
        self.certify("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.certify("client", "subjectAltName=DNS:client")

    def path(self, name):
        return str(self.folder / name)

    def make(self, name, *arguments):
        command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "30", "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt")]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    def certify(self, name, alternative):
        # No authority itself: not every verifier lets one stand for a client.
        authority = ["-x509", "-CA", self.path("authority.crt"), "-CAkey", self.path("authority.key")]
        extensions = ("-addext", alternative, "-addext", "basicConstraints=critical,CA:FALSE")
        self.make(name, *authority, "-subj", f"/CN={name}", *extensions)

    @property
    def flags(self):
        """Flags for a server that has them."""
        files = ("ssl_chain_cert=server.crt", "ssl_key=server.key", "ssl_ca_cert=authority.crt")
        named = (file.split("=") for file in files)
        return ("-Z", "-o", ",".join(f"{option}={self.path(file)}" for option, file in named))

    def context(self, name=None):
        """What a client believes, and who it is."""
        context = ssl.create_default_context(cafile=self.path("authority.crt"))
        if name:
            context.load_cert_chain(self.path(f"{name}.crt"), self.path(f"{name}.key"))
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start():
    """Starts a larderd with the given flags; all are stopped after the test."""
    servers = []

    def start_one(*flags, command=(LARDERD,)):
        port = free_port()
        servers.append(Server([*command, "-p", str(port), *flags], port))
        return servers[-1]

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
def server(start):
    return start()
