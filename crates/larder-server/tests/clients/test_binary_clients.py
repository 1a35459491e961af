"""Clients of the binary protocol, without and with authentication."""

import json
import pathlib
import shutil
import subprocess
from importlib import metadata

import bmemcached
import pytest
from conftest import fetched, record

USER, PASSWORD = "someone", "with a password"


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "passwords"
    path.write_text(f"{USER}:{PASSWORD}\n")
    return path


def everyday(client):
    """What python-binary-memcached offers."""
    assert client.set("key", "value", time=100)
    assert client.get("key") == "value"
    assert client.get("absent") is None
    values = {f"many-{n}": {"number": n} for n in range(200)}
    assert client.set_multi(values) == []
    assert client.get_multi([*values, "absent"]) == values
    assert client.delete_multi(values)
    value, cas = client.gets("key")
    assert client.cas("key", "swapped", cas)
    assert not client.cas("key", "late", cas)
    assert client.get("key") == "swapped"
    assert not client.add("key", "other")
    assert client.replace("key", "other")
    assert client.set("count", "5")
    assert client.incr("count", 3) == 8
    assert client.decr("count", 100) == 0
    assert client.delete("key")
    assert client.get("key") is None
    [stats] = client.stats().values()
    assert stats["version"] in ("1.6.45", b"1.6.45")
    assert client.flush_all()


def test_python_binary_memcached(server):
    everyday(bmemcached.Client((f"127.0.0.1:{server.port}",)))
    version = metadata.version("python-binary-memcached")
    record("python-binary-memcached", version, "binary", "every command that it has")


def test_python_binary_memcached_authenticates(start, password_file):
    server = start("-S", "-Y", str(password_file))
    address = (f"127.0.0.1:{server.port}",)
    everyday(bmemcached.Client(address, USER, PASSWORD))
    assert int_stat(address, "auth_cmds") >= 1
    with pytest.raises(bmemcached.exceptions.MemcachedException):
        bmemcached.Client(address, USER, "guessed").get("key")
    with pytest.raises(bmemcached.exceptions.MemcachedException):
        bmemcached.Client(address).get("key")
    version = metadata.version("python-binary-memcached")
    record("python-binary-memcached", version, "binary, SASL", "every command that it has")


def int_stat(address, name):
    [stats] = bmemcached.Client(address, USER, PASSWORD).stats().values()
    return int(stats[name])


def memjs(*arguments):
    node = shutil.which("node")
    if node is None:
        pytest.skip("memjs needs node")
    module = fetched("memjs") / "node_modules" / "memjs"
    script = pathlib.Path(__file__).with_name("memjs.js")
    done = subprocess.run(
        [node, script, module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return json.loads((module / "package.json").read_text())["version"]


def test_memjs(server):
    version = memjs(f"127.0.0.1:{server.port}")
    record("memjs", version, "binary", "every command that it has")


def test_memjs_authenticates(start, password_file):
    server = start("-S", "-Y", str(password_file))
    version = memjs(f"127.0.0.1:{server.port}", USER, PASSWORD)
    record("memjs", version, "binary, SASL", "every command that it has")
