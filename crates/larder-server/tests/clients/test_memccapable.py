"""libmemcached's conformance test."""

import re
import subprocess

from conftest import record

# Both send `delete` with arguments behind the key and want an error, as memcached up to 1.6.18
# answered. memcached 1.6.45 executes it, and so does larderd.
FAILED_BY_MEMCACHED_1_6_45 = {"ascii delete", "ascii delete noreply"}


def version():
    """That of libmemcached, whose test it is."""
    command = ["dpkg-query", "-W", "-f", "${source:Upstream-Version}", "libmemcached-tools"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout or "?"


def verdicts(server, option):
    """Whether each test passes, by its name."""
    command = ["memccapable", "-h", "127.0.0.1", "-p", str(server.port), option]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    # The summary can come between the last name and its verdict.
    found = re.findall(r"^((?:ascii|binary) \w+(?: noreply)?)  [^\[]*\[(pass|FAIL)\]", done.stdout, re.M)
    assert len(found) == 27, done.stdout
    return dict(found)


def test_ascii(server):
    results = verdicts(server, "-a")
    failed = {name for name, verdict in results.items() if verdict != "pass"}
    assert failed == FAILED_BY_MEMCACHED_1_6_45
    result = f"{27 - len(failed)} of 27 pass, as memcached 1.6.45"
    record("memccapable", version(), "text", result)


def test_binary(server):
    assert set(verdicts(server, "-b").values()) == {"pass"}
    record("memccapable", version(), "binary", "27 of 27 pass")
