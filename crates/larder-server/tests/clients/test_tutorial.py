"""What a tutorial of caching with memcached teaches, with the real client: pymemcache."""

import json
import multiprocessing
import time
from contextlib import closing

import pytest
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.client.retrying import RetryingClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from pymemcache.fallback import FallbackClient


@pytest.fixture
def client(server):
    with closing(Client(server.address, timeout=60)) as client:
        yield client


def test_set_and_get(client):
    assert client.set("some_key", "some value")
    assert client.get("some_key") == b"some value"
    assert client.get("absent") is None
    assert client.get("absent", default="x") == "x"
    assert client.version() == b"1.6.45"


def test_many_keys_at_once(client):
    values = {f"key-{n}": f"value-{n}" for n in range(1000)}
    assert client.set_many(values) == []
    found = client.get_many([*values, "absent"])
    assert found == {key: value.encode() for key, value in values.items()}
    assert client.delete_many(list(values), noreply=False)
    assert client.get_many(list(values)) == {}


def test_keys_expire(client):
    client.set("short", "lived", expire=1)
    client.set("long", "lived", expire=1000)
    assert client.get("short") == b"lived"
    time.sleep(1.1)
    assert client.get("short") is None
    assert client.get("long") == b"lived"


def test_touch_prolongs(client):
    client.set("key", "value", expire=1)
    assert client.touch("key", 1000, noreply=False)
    time.sleep(1.1)
    assert client.get("key") == b"value"
    assert not client.touch("absent", 1, noreply=False)
    assert b"value" in client.raw_command(b"gat 1 key", b"END\r\n")
    time.sleep(1.1)
    assert client.get("key") is None


def test_delete(client):
    client.set("key", "value")
    assert client.delete("key", noreply=False)
    assert not client.delete("key", noreply=False)
    assert client.get("key") is None


def test_add_replace_append_prepend(client):
    assert client.add("key", "b", noreply=False)
    assert not client.add("key", "x", noreply=False)
    assert client.append("key", "c", noreply=False)
    assert client.prepend("key", "a", noreply=False)
    assert client.get("key") == b"abc"
    assert client.replace("key", "new", noreply=False)
    assert not client.replace("absent", "x", noreply=False)


def test_counters(client):
    client.set("visitors", "41")
    assert client.incr("visitors", 1) == 42
    assert client.decr("visitors", 50) == 0
    assert client.incr("absent", 1) is None
    client.set("text", "not a number")
    with pytest.raises(MemcacheClientError):
        client.incr("text", 1)


class JsonSerde:
    def serialize(self, key, value):
        if isinstance(value, str):
            return value.encode(), 1
        return json.dumps(value).encode(), 2

    def deserialize(self, key, value, flags):
        return value.decode() if flags == 1 else json.loads(value)


def test_flags_carry_the_type(server):
    with closing(Client(server.address, serde=JsonSerde())) as client:
        client.set("text", "plain")
        client.set("data", {"a": [1, 2]})
        assert client.get("text") == "plain"
        assert client.get("data") == {"a": [1, 2]}


def test_check_and_set(client):
    client.set("key", "1")
    value, token = client.gets("key")
    assert (value, client.gets("absent")) == (b"1", (None, None))
    assert client.cas("key", "2", token) is True
    assert client.cas("key", "3", token) is False
    assert client.cas("absent", "3", token) is None
    assert client.get("key") == b"2"
    assert client.gets_many(["key"])["key"][0] == b"2"


def count_visitors(address, rounds):
    with closing(Client(address, timeout=60)) as client:
        for _ in range(rounds):
            while True:
                value, token = client.gets("visitors")
                if client.cas("visitors", int(value) + 1, token, noreply=False):
                    break


def test_four_processes_count_by_check_and_set(server, client):
    rounds = 1000
    client.set("visitors", 0)
    processes = [
        multiprocessing.Process(target=count_visitors, args=(server.address, rounds)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert client.get("visitors") == b"4000"


def test_migrating_with_a_fallback_client(start):
    old, new = start(), start()
    old_client = Client(old.address, ignore_exc=True, timeout=10)
    new_client = Client(new.address, ignore_exc=True, timeout=10)
    both = FallbackClient((new_client, old_client))
    old_client.set("in-old", "1", noreply=False)
    assert both.get("in-old") == b"1"
    assert new_client.get("in-old") is None
    both.set("in-new", "2", noreply=False)
    assert both.get("in-new") == b"2"
    assert old_client.get("in-new") is None
    # The old server goes away: what is in the new one is still served.
    assert old.stop() == 0
    assert both.get("in-old") is None
    assert both.get("in-new") == b"2"
    both.set("later", "3", noreply=False)
    assert both.get("later") == b"3"


def test_a_cold_cache_is_filled_once(server):
    """The thundering herd: of many who miss, the one whose add succeeds does the work."""
    clients = [Client(server.address) for _ in range(20)]
    winners = [client.add("lock:report", "1", expire=30, noreply=False) for client in clients]
    assert winners.count(True) == 1
    for client in clients:
        client.close()


def test_many_nodes_behind_client_side_hashing(start):
    nodes = [start() for _ in range(3)]
    cluster = HashClient([node.address for node in nodes], use_pooling=True, timeout=10)
    values = {f"key-{n}": f"{n}".encode() for n in range(300)}
    assert cluster.set_many(values) == []
    assert cluster.get_many(list(values)) == values
    held = [int(node.stats()["curr_items"]) for node in nodes]
    assert sum(held) == 300 and all(count > 0 for count in held)


def test_a_pool_and_retries(server):
    pool = PooledClient(server.address, max_pool_size=4)
    assert pool.set("key", "value")
    assert pool.get("key") == b"value"
    retrying = RetryingClient(Client(server.address), attempts=3, retry_delay=0.01)
    assert retrying.get("key") == b"value"


def test_eviction_under_a_memory_limit(start):
    client = Client(start("-m", "2", "-I", "100k").address, timeout=60)
    value = "x" * 1000
    for number in range(5000):
        client.set(f"key-{number}", value, noreply=False)
    stats = client.stats()
    assert stats[b"evictions"] > 0
    assert stats[b"curr_items"] < 2100
    assert client.get("key-4999") == value.encode()
    assert client.get("key-0") is None


def test_a_value_too_large_is_a_clear_error(client):
    client.set("key", "old")
    with pytest.raises(MemcacheServerError, match="object too large for cache"):
        client.set("key", b"x" * (1 << 20), noreply=False)
    assert client.get("key") is None
    assert client.set("key", "new", noreply=False)


def test_flush_stats_verbosity_quit(client):
    client.set("key", "value")
    assert client.flush_all(noreply=False)
    assert client.get("key") is None
    stats = client.stats()
    assert stats[b"version"] == b"1.6.45"
    assert stats[b"limit_maxbytes"] == 64 << 20
    assert float(stats[b"rusage_user"]) >= 0
    client.quit()
    # The next call connects again.
    assert client.get("key") is None
