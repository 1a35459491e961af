"""larderd and memcached answer random streams of commands with the same bytes.

Against Debian's memcached by default. Against another build, and for longer:

    MEMCACHED=/path/to/memcached EXCHANGES=100000 SEED=1 ./run -rP test_differential.py
"""

import os
import shutil
import subprocess
import time

import pytest

from differential import logins
from differential.run import Run

MEMCACHED = os.environ.get("MEMCACHED") or shutil.which("memcached")
EXCHANGES = int(os.environ.get("EXCHANGES", "6000"))
SEED = os.environ.get("SEED") or str(time.time_ns())
#: Nothing is to be evicted: memcached refuses some of the large values then.
MEBIBYTES = str(max(256, EXCHANGES // 80))
#: With threads of its own at work on items, memcached does not always pad a number that became shorter.
QUIET = ("-o", "no_lru_crawler,no_lru_maintainer")


def version():
    return subprocess.run([MEMCACHED, "-V"], capture_output=True, text=True).stdout.split()[-1]


@pytest.mark.parametrize("flags", [(), QUIET, ("-C", *QUIET)], ids=["as it is", "without its threads", "without cas"])
@pytest.mark.parametrize("protocol", ["text", "meta", "binary"])
def test_the_same_bytes(start, protocol, flags):
    """With memcached's own threads at work, a difference counts if it is met every time."""
    if "-C" in flags and version() == "1.6.18":
        pytest.skip("1.6.18 answers cas in another way without cas uniques")
    larderd = start("-m", MEBIBYTES, *flags)
    memcached = start("-m", MEBIBYTES, "-l", "127.0.0.1", "-u", "root", *flags, command=(MEMCACHED,))
    run = Run(protocol, SEED, larderd.address, memcached.address, version(), repeats=0 if flags else 8)
    run.until(EXCHANGES)
    print(f"memcached {version()}, {run.report()}")
    assert not run.failures, "\n".join(told for told, _ in run.failures)


def test_the_same_answers_before_a_client_is_known(start, tmp_path):
    users = tmp_path / "users"
    users.write_bytes(logins.users(version()))
    larderd = start("-Y", users)
    memcached = start("-l", "127.0.0.1", "-u", "root", "-Y", users, command=(MEMCACHED,))
    run = Run("login", SEED, larderd.address, memcached.address, version())
    run.until(EXCHANGES)
    print(f"memcached {version()}, {run.report()}")
    assert not run.failures, "\n".join(told for told, _ in run.failures)
    counted = [logins.counted(server.address) for server in (larderd, memcached)]
    assert counted[0] == counted[1]


def test_the_same_bytes_while_time_moves(start):
    """With a debug build of memcached, whose clock can be moved: lifetimes to the second."""
    debug = MEMCACHED + "-debug"
    if not os.path.exists(debug):
        pytest.skip("needs memcached-debug beside the binary that MEMCACHED names")
    larderd = start("-m", "256", "-o", "debug_time")
    memcached = start("-m", "256", "-l", "127.0.0.1", "-u", "root", *QUIET, command=(debug,))
    for protocol in ["text", "meta", "binary"]:
        run = Run(protocol, SEED, larderd.address, memcached.address, version(), moves_time=True)
        run.until(EXCHANGES // 3)
        print(f"memcached {version()} with moving time, {run.report()}")
        assert not run.failures, "\n".join(told for told, _ in run.failures)
