"""What an operator sees: memory, connections, ending."""

import os
import resource
import shutil
import signal
import socket
import subprocess

import pymemcache
import pytest

MIB = 1 << 20


def overfill(server, limit_mib):
    """Sends 1.6 times as many items of a 16-byte key and a 100-byte value as bytes would hold."""
    value = b"x" * 100
    with server.connect() as stream:
        requests = bytearray()
        for number in range(int(limit_mib * MIB / 116 * 1.6)):
            requests += b"set %016d 0 0 100 noreply\r\n%s\r\n" % (number, value)
            if len(requests) > MIB:
                stream.sendall(requests)
                requests.clear()
        stream.sendall(bytes(requests) + b"version\r\n")
        assert stream.recv(100).startswith(b"VERSION")
    return int(server.stats()["curr_items"])


def test_an_overfilled_server_stays_within_its_memory_and_holds_more_than_memcached(start):
    larderd = start("-m", "256")
    items = overfill(larderd, 256)
    assert larderd.resident_bytes() <= (256 + 32) * MIB
    memcached = start("-m", "256", "-l", "127.0.0.1", "-u", "root", command=(shutil.which("memcached"),))
    peers = overfill(memcached, 256)
    print(f"items at -m 256: larderd {items}, memcached {peers}, ratio {items / peers:.3f}")
    assert items >= peers


def test_a_cache_outlives_its_server(start, tmp_path):
    path = str(tmp_path / "memory")
    larderd = start("-e", path)
    client = pymemcache.Client(larderd.address)
    values = {f"key-{number}": b"%d" % number * (number % 500) for number in range(5000)}
    assert client.set_many(values, expire=1000) == []
    client.set("flags", b"value", flags=77)
    token = client.gets("flags")[1]
    larderd.process.send_signal(signal.SIGUSR1)
    assert larderd.process.wait(60) == 0
    larderd = start("-e", path, "-m", "100", "-t", "1")
    assert not os.path.exists(path)
    client = pymemcache.Client(larderd.address)
    assert client.get_many(values) == values
    assert client.gets("flags") == (b"value", token)
    assert client.cas("flags", b"other", token) is True
    larderd.stop()
    client = pymemcache.Client(start("-e", path).address)
    assert client.get("flags") is None


def test_ten_thousand_idle_connections(start):
    count = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    larderd = start("-c", str(count + 100))
    with larderd.connect() as stream:
        stream.sendall(b"set key 0 0 5\r\nvalue\r\n")
        assert stream.recv(100) == b"STORED\r\n"
        before = larderd.resident_bytes()
        idle = [larderd.connect() for _ in range(count)]
        # The last ones have been handed to a worker when they answer.
        for connection in idle[-100:]:
            connection.sendall(b"version\r\n")
            assert connection.recv(100) == b"VERSION 1.6.45\r\n"
        each = (larderd.resident_bytes() - before) / count
        print(f"resident memory of an idle connection: {each:.0f} bytes")
        assert each <= 1024
        stream.sendall(b"get key\r\n")
        assert stream.recv(100) == b"VALUE key 0 5\r\nvalue\r\nEND\r\n"
        assert int(larderd.stats()["curr_connections"]) >= count
        for connection in idle:
            connection.close()


def test_sigterm_in_the_middle_of_a_reply_finishes_it(start):
    larderd = start("-m", "64")
    with larderd.connect() as stream:
        value = b"v" * 500_000
        stream.sendall(b"set big 0 0 500000\r\n" + value + b"\r\n")
        assert stream.recv(100) == b"STORED\r\n"
        rounds = 40
        stream.sendall(b"get big\r\n" * rounds)
        answer = bytearray(stream.recv(100))
        larderd.process.send_signal(signal.SIGTERM)
        while piece := stream.recv(1 << 20):
            answer += piece
        assert bytes(answer) == (b"VALUE big 0 500000\r\n" + value + b"\r\nEND\r\n") * rounds
    assert larderd.process.wait(30) == 0


def test_the_address_in_use_is_named(server):
    from conftest import LARDERD

    second = subprocess.run([LARDERD, "-p", str(server.port)], capture_output=True, text=True, timeout=30)
    assert second.returncode == 71
    assert f"127.0.0.1:{server.port}" in second.stderr


def test_loopback_is_the_default(server):
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) == 0
    assert int(server.stats()["max_connections"]) == 1024


def test_memcached_tool_shows_what_it_is_for(server):
    """Debian's package of memcached has it; it is what operators have at hand."""
    tool = "/usr/share/memcached/scripts/memcached-tool"
    if not (os.path.exists(tool) and shutil.which("perl")):
        pytest.skip("needs memcached-tool and perl")
    with server.connect() as stream:
        for number in range(50):
            stream.sendall(b"set small%d 7 0 1\r\nx\r\nset large%d 0 0 9000\r\n%s\r\n" % (number, number, b"y" * 9000))
        stream.sendall(b"mn\r\n")
        answer = b""
        while not answer.endswith(b"MN\r\n"):
            answer += stream.recv(1 << 16)

    def run(*mode):
        command = ["perl", tool, f"127.0.0.1:{server.port}", *mode]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    rows = [line.split() for line in run().splitlines()[1:] if line.strip()]
    # Class, chunk size, age, pages, items, full, evicted, its age, out of memory.
    assert [row[4] for row in rows] == ["50", "50"], rows
    assert rows[0][1].endswith("B") and rows[1][1].endswith("K") and all(int(row[3]) >= 1 for row in rows)
    assert "curr_items" in run("stats") and "item_size_max" in run("settings") and "Count" in run("sizes")
    keys = run("keys").splitlines()
    assert len(keys) == 100 and all(line.startswith("key=") for line in keys)
    dump = run("dump").splitlines()
    assert sum(line.startswith("add small") and line.endswith(" 7 0 1") for line in dump) == 50
    assert sum(line.startswith("add large") for line in dump) == 50
