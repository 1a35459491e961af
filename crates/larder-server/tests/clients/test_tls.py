"""Clients that speak TLS by OpenSSL."""

import socket
import ssl
import subprocess

import pymemcache
import pytest
from pymemcache.client.base import Client

from conftest import record

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def only(context, version):
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", VERSIONS)
def test_pymemcache_over_tls(start, certificates, version):
    server = start(*certificates.flags, "-I", "8m")
    context = only(certificates.context(), version)
    client = Client(("localhost", server.port), tls_context=context, timeout=60)
    value = bytes(range(256)) * (20 << 10)
    assert client.set("key", b"value", noreply=False)
    assert client.set("large", value, noreply=False)
    assert client.get_many(["key", "large", "absent"]) == {"key": b"value", "large": value}
    assert client.set("n", 1, noreply=False) and client.incr("n", 41) == 42
    value, token = client.gets("key")
    assert client.cas("key", b"other", token) and client.cas("key", b"late", token) is False
    assert client.set_many({f"k{number}": b"v" for number in range(1000)}, noreply=False) == []
    assert len(client.get_many([f"k{number}" for number in range(1000)])) == 1000
    assert client.stats()[b"ssl_handshake_errors"] in (0, b"0")
    assert client.delete("key", noreply=False)
    client.quit()
    version = pymemcache.__version__
    record("pymemcache", version, "text, TLS 1.2 and 1.3", "what it does most, by OpenSSL")


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_shows_a_certificate(start, certificates, version):
    server = start(*certificates.flags, "-o", "ssl_verify_mode=2")
    with server.encrypted(only(certificates.context("client"), version)) as stream:
        stream.sendall(b"version\r\n")
        assert stream.recv(100).startswith(b"VERSION")
    with pytest.raises(OSError):
        with server.encrypted(only(certificates.context(), version)) as stream:
            stream.sendall(b"version\r\n")
            assert stream.recv(100) == b"", "served without a certificate"
            raise OSError("closed")


def test_openssl_resumes_sessions(start, certificates):
    server = start(*certificates.flags, "-o", "ssl_session_cache")
    for version in VERSIONS:
        context, session = only(certificates.context(), version), None
        for resumed in (False, True):
            stream = context.wrap_socket(server.connect(), server_hostname="localhost", session=session)
            with stream:
                stream.sendall(b"version\r\n")
                assert stream.recv(100).startswith(b"VERSION")
                assert stream.session_reused == resumed
                session = stream.session


def test_replies_come_until_a_goodbye(start, certificates):
    server = start(*certificates.flags)
    stream = server.encrypted(certificates.context())
    stream.sendall(b"set k 0 0 1\r\nx\r\nget k\r\nquit\r\n")
    answer = b""
    while piece := stream.recv(100):
        answer += piece
    assert answer == b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n"
    stream.unwrap().close()


def test_openssl_s_client_agrees(start, certificates):
    server = start(*certificates.flags)
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-quiet", "-verify_return_error"]
    command += ["-CAfile", certificates.path("authority.crt"), "-verify_hostname", "localhost"]
    done = subprocess.run(command, input=b"version\r\nquit\r\n", capture_output=True, timeout=60)
    assert done.stdout == b"VERSION 1.6.45\r\n", done.stderr


def test_old_versions_are_refused(start, certificates):
    server = start(*certificates.flags, "-o", "ssl_min_version=3")
    with pytest.raises((ssl.SSLError, ConnectionError, socket.timeout)):
        server.encrypted(only(certificates.context(), ssl.TLSVersion.TLSv1_2))
    server.encrypted(only(certificates.context(), ssl.TLSVersion.TLSv1_3)).close()
