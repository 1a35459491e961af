"""The clients' own tests, run against larderd."""

import os
import re
import subprocess
import sys

from conftest import FETCHED, LARDERD, fetched, free_port, record


# Builds are kept between runs, and need no debug information.
BUILD = {"CARGO_TARGET_DIR": str(FETCHED / "build"), "CARGO_PROFILE_DEV_DEBUG": "0"}


def cargo_test(crate, *arguments, tests=(), **environment):
    """Name and verdict of every test of a crate that was fetched, and all it printed."""
    done = subprocess.run(
        ["cargo", "test", "--no-fail-fast", *arguments, "--", *tests],
        cwd=fetched(crate) / "source",
        env=os.environ | BUILD | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    verdicts = re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", done.stdout, re.MULTILINE)
    assert verdicts, done.stdout
    return verdicts, done.stdout


def crate_version(crate):
    manifest = (fetched(crate) / "source" / "Cargo.toml").read_text()
    return re.search(r'^version = "(.*)"', manifest, re.MULTILINE).group(1)


def failed(verdicts):
    return {name for name, verdict in verdicts if verdict != "ok"}


# The dump begins with OK, as in memcached 1.6.45, which fails them too.
FAILED_BY_MEMCACHED_1_6_45 = {
    "empty_key_dump_finishes_and_leaves_the_connection_usable",
    "populated_key_dump_reads_every_entry_and_leaves_the_connection_usable",
}


def test_async_memcached(tmp_path):
    """Its tests start servers themselves, under memcached's name."""
    binary = tmp_path / "memcached"
    binary.symlink_to(LARDERD)
    source = (fetched("async-memcached") / "source" / "tests" / "resiliency_tests.rs").read_text()
    toxic = set(re.findall(r"toxiproxy-server[^\n]*\n[^{]*?fn (\w+)\(", source))
    assert len(toxic) == 8
    verdicts, output = cargo_test(
        "async-memcached",
        "--tests",
        tests=["--include-ignored", *(word for name in toxic for word in ("--skip", name))],
        MEMCACHED_BIN=str(binary),
    )
    assert failed(verdicts) == FAILED_BY_MEMCACHED_1_6_45, output
    passed = sum(verdict == "ok" for _, verdict in verdicts)
    assert passed >= 239, output
    result = f"{passed} of its tests pass, 2 fail as with memcached 1.6.45; 8 need another program"
    record("async-memcached", crate_version("async-memcached"), "text, meta", result)


def test_memcache(start, tmp_path):
    """Its tests speak to fixed ports, which are replaced."""
    names = ("test_ascii", "test_memcache", "test_exp_memcache", "test_exp_meta_client")
    names = (*names, "test_async_memcache", "tests")
    targets = [word for name in names for word in ("--test", name)]
    folder = fetched("memcache") / "source" / "tests"
    udp_port = str(free_port())
    start("-U", udp_port)
    assets = folder / "assets"
    files = f"ssl_chain_cert={assets}/localhost.crt,ssl_key={assets}/localhost.key"
    names_of_ports = {str(port): start().port for port in range(12345, 12350)}
    ports = names_of_ports | {"12350": start("-Z", "-o", files).port, "22345": udp_port}
    unix_path = tmp_path / "socket"
    unix = subprocess.Popen([LARDERD, "-s", unix_path])
    originals = {path: path.read_text() for path in folder.glob("*.rs")}
    try:
        for path, text in originals.items():
            for port, own in ports.items():
                text = text.replace(f"localhost:{port}", f"127.0.0.1:{own}")
            path.write_text(text.replace("/tmp/memcached2.sock", str(unix_path)))
        # One at a time: some of them flush the server that they share.
        verdicts, output = cargo_test(
            "memcache",
            *("--no-default-features", "--features", "tokio,tls"),
            *targets,
            tests=["--test-threads=1"],
        )
    finally:
        unix.terminate()
        unix.wait(30)
        for path, text in originals.items():
            path.write_text(text)
    assert not failed(verdicts), output
    assert len(verdicts) >= 60 and ("test", "ok") in verdicts, output
    record("memcache (crate)", crate_version("memcache"), "text, meta, binary, UDP, TLS", f"{len(verdicts)} of its tests pass")


def test_pymemcache(server):
    folder = fetched("pymemcache")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider"),
            "pymemcache/test/test_integration.py",
            *("--server", "127.0.0.1", "--port", str(server.port)),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))
    assert passed >= 80, done.stdout
    version = re.search(r"^Version: (.*)$", (folder / "PKG-INFO").read_text(), re.MULTILINE).group(1)
    record("pymemcache", version, "text", f"{passed} of its integration tests pass")
