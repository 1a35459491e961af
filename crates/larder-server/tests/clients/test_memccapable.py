"""libmemcached's conformance test, its ascii part."""

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


def test_ascii(server):
    command = ["memccapable", "-h", "127.0.0.1", "-p", str(server.port), "-a"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    # The summary can come between the last name and its verdict.
    verdicts = dict(re.findall(r"(ascii \w+(?: noreply)?)  [^\[]*\[(pass|FAIL)\]", done.stdout))
    assert len(verdicts) == 27, done.stdout
    failed = {name for name, verdict in verdicts.items() if verdict != "pass"}
    assert failed == FAILED_BY_MEMCACHED_1_6_45, done.stdout
    passed = len(verdicts) - len(failed)
    record("memccapable", version(), "text", f"{passed} of {len(verdicts)} pass, as memcached 1.6.45")
