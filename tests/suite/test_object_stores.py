"""What the tests of the exchange rely on: real servers that check signatures and conditions, or do not, and a proxy's faults."""

import http.client
import time
from threading import Thread

import pytest
from s3_client import Bucket, Credentials
from s3_proxy import CONDITIONS, Proxied, answers, cut, flipped, hangs, proxied, refused, slow, truncated, unanswered, unconditional  # noqa: F401
from s3_server import Rclone, SeaweedFs, s3_server, store  # noqa: F401


def refusals(bucket: Bucket, key: str) -> dict[str, int]:
    """The statuses that requests get whose conditions are not met."""
    bucket.put(key, b"first")
    wrong = '"00000000000000000000000000000000"'
    return {"exists": bucket.ask("PUT", key, b"second", if_none_match="*").status, "differs": bucket.ask("PUT", key, b"second", if_match=wrong).status}


def test_seaweedfs_checks_signatures_and_conditions_and_loses_nothing_when_it_is_killed(store, tmp_path):
    bucket, key = store.bucket, f"{store.prefix}/a key+ü"
    assert refusals(bucket, key) == {"exists": 412, "differs": 412} and bucket.get(key) == b"first"
    tag = bucket.ask("HEAD", key).headers["etag"]
    assert bucket.ask("PUT", key, b"third", if_match=tag).status == 200
    assert bucket.ask("PUT", key + "2", b"new", if_none_match="*").status == 200
    assert store.keys() == ["a key+ü", "a key+ü2"] and store.holding("third") == ["a key+ü"]
    for credentials in (Credentials("nobody", "x"), Credentials(bucket.credentials.key, "another")):
        assert Bucket(bucket.port, bucket.name, credentials).ask("GET", key).status == 403
    server = SeaweedFs(tmp_path / "another").start()
    server.bucket().put("kept", b"kept")
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        server.bucket().get("kept")
    assert server.start().bucket().get("kept") == b"kept"
    server.remove()


def test_rclone_ignores_conditions(tmp_path):
    server = Rclone(tmp_path / "rclone").start()
    assert refusals(server.bucket(), "key") == {"exists": 200, "differs": 200} and server.bucket().get("key") == b"second"
    server.remove()


def test_the_proxy_passes_signatures_and_fails_as_it_is_told(proxied: Proxied):
    straight, proxy, key = proxied.bucket, proxied.proxy, f"{proxied.prefix}/objects/a"
    bucket = Bucket(proxied.port, straight.name, straight.credentials)
    body = bytes(range(256)) * 4000
    bucket.put(key, body)
    assert bucket.get(key) == body and refusals(bucket, key + "2") == {"exists": 412, "differs": 412}
    assert Bucket(proxied.port, straight.name, Credentials("nobody", "x")).ask("GET", key).status == 403

    proxy.fault(answers(503), "GET", "/objects/", times=2)
    assert [bucket.ask("GET", key).status for _ in range(3)] == [503, 503, 200]
    proxy.fault(truncated, times=1)
    assert bucket.get(key) == body[: len(body) // 2]
    proxy.fault(flipped, times=1)
    assert sum(a != b for a, b in zip(bucket.get(key), body, strict=True)) == 1
    for fault, error in [(cut, http.client.IncompleteRead), (refused, OSError)]:
        proxy.fault(fault, times=1)
        with pytest.raises(error):
            bucket.get(key)
    proxy.fault(unanswered, "PUT", times=1)
    with pytest.raises(OSError):
        bucket.put(f"{key}3", b"arrived")
    assert straight.get(f"{key}3") == b"arrived"
    proxy.fault(slow(1_000_000), times=1)
    begun = time.monotonic()
    assert bucket.get(key) == body and time.monotonic() - begun > 1
    proxy.fault(unconditional, "PUT")
    assert refusals(bucket, key + "4") == {"exists": 200, "differs": 200} and len(CONDITIONS) == 2
    proxy.faults.clear()
    assert refusals(bucket, key + "4") == {"exists": 412, "differs": 412}
    proxy.fault(hangs)
    waiting = Thread(target=lambda: pytest.raises(OSError, bucket.get, key))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    proxy.close()
    waiting.join(10)
    assert not waiting.is_alive() and ("GET", f"/{straight.name}/{key}") in proxy.asked
