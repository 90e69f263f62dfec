"""Files at web addresses in `path`: fetched whole by the host within the grant, or not at all."""

import gzip
import ipaddress
import json
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from http_server import Reply, Server, web  # noqa: F401
from http_steps import grant

CSV = b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(1, 1001))


def read(project, path, expect: int = 0, kind: str = "csv", **config) -> dict:
    return project.run([{"id": "read", "component": f"filesystem.{kind}_extractor", "config": {"path": path, **config}}], expect=expect)


def count(project, result: dict) -> list[tuple]:
    return project.rows(result, "read", "select count(*), sum(a)::bigint from main")


def error(project, path, **config) -> str:
    result = read(project, path, expect=1, **config)
    assert result["step"]["read"]["rows"] is None
    return json.dumps(result["step"]["read"]["error"]) + result["stderr"]


@pytest.fixture
def site(project, web):  # noqa: F811
    grant(project, web)
    return web


def csv(site: Server, body: bytes = CSV, path: str = "/data.csv", **headers) -> str:
    return site.route(path, lambda _: Reply(body=body, headers={"content-type": "text/csv", **headers}))


def test_each_format_is_read_alone_or_in_a_list(project, site):
    assert count(project, read(project, csv(site))) == [(1000, 500500)]
    packed = csv(site, gzip.compress(CSV), "/data.csv.gz")
    project.write("local.csv", "a,b\n7,x\n")
    result = read(project, [csv(site), packed + "?version=2", "local.csv"], filename=True)
    names = [name for (name,) in project.rows(result, "read", "select distinct filename from main order by 1")]
    assert names == sorted([csv(site), packed + "?version=2", "local.csv"])
    assert project.rows(result, "read", "select count(*) from main") == [(2001,)]
    pq.write_table(pa.table({"a": [1, 2, 3]}), project.folder / "x.parquet")
    parquet = csv(site, (project.folder / "x.parquet").read_bytes(), "/x.parquet")
    assert count(project, read(project, parquet, kind="parquet")) == [(3, 6)]
    assert count(project, read(project, csv(site, b'[{"a": 1}, {"a": 2}]', "/x.json"), kind="json")) == [(2, 3)]
    plan = project.osiris("plan", "pipeline.yaml")
    assert "read what the host fetches by `GET http://127.0.0.1" in plan.stdout


def test_new_files_are_read_once(project, site):
    path = csv(site)
    assert count(project, read(project, path, new_files_only=True)) == [(1000, 500500)]
    assert project.rows(read(project, path, new_files_only=True), "read", "select count(*) from main") == [(0,)]
    csv(site, CSV + b"9,y\n")
    assert "has changed since it was read" in error(project, path, new_files_only=True)


@pytest.mark.parametrize("address", ["https://example.com/x.csv", "http://user@127.0.0.1/x.csv", "http://127.0.0.1@evil.example/x.csv", "http://127.0.0.1/../x.csv", "http://127.0.0.1/%2e%2e/x.csv", "http://169.254.169.254/x.csv"])
def test_an_address_that_is_not_granted_is_refused_before_anything_runs(project, site, address):
    assert "cannot call by HTTP" in (said := read(project, address, expect=2)["stderr"]) or "may not connect" in said
    assert site.requests == []


def test_a_name_that_leads_into_a_private_network_needs_the_operators_word(project, site):
    name = socket.gethostname()
    try:
        private = all(ipaddress.ip_address(found[4][0]).is_private for found in socket.getaddrinfo(name, 80))
    except OSError:
        private = False
    if not private:
        pytest.skip(f"this machine's name `{name}` does not lead to a private address")
    project.write("osiris_connections.yaml", json.dumps({"connections": {"http": {"api0": {"url": f"http://{name}:{site.port}"}}}}))
    assert "private_network" in error(project, f"http://{name}:{site.port}/data.csv") and site.requests == []


def test_a_policy_names_the_addresses(project, site):
    path = csv(site)
    for scope, code in ((f"GET {site.url}/data.csv", 0), (f"GET {site.url}/other", 2), (f"POST {site.url}/", 2)):
        policy = project.write("policy.yaml", json.dumps({"http": [scope], "private_hosts": ["127.0.0.1"]}))
        step = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": path}}
        project.run([step], "--policy", policy, expect=code)


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://127.0.0.1:1/x", "/elsewhere.csv", "//evil.example/x", "http://user@127.0.0.1/data.csv"])
def test_a_redirect_leads_nowhere_else(project, site, target):
    site.route("/data.csv", lambda _: Reply(status=302, headers={"location": target}, body=b""))
    csv(site, path="/elsewhere.csv")
    said = error(project, site.url + "/data.csv")
    assert "redirects" in said and site.paths() == ["/data.csv"]


def test_a_redirect_below_the_address_is_followed(project, site):
    site.route("/data", lambda _: Reply(status=307, headers={"location": "/data/v1.csv"}, body=b""))
    csv(site, path="/data/v1.csv")
    assert count(project, read(project, site.url + "/data")) == [(1000, 500500)]
    site.route("/loop", lambda _: Reply(status=302, headers={"location": "/loop"}, body=b""))
    assert "more than 5 times" in error(project, site.url + "/loop")


def test_a_file_cut_short_is_an_error_never_fewer_rows(project, site):
    """The server promises more than it sends, sends a chunk without an end, or does not say how much there is."""
    half = CSV[: CSV.index(b"\n", len(CSV) // 2) + 1]
    site.route("/lies.csv", lambda _: Reply(body=half, headers={"content-length": str(len(CSV))}, close=True))
    assert "cut short" in error(project, site.url + "/lies.csv")
    assert site.asked["/lies.csv"] == 4
    site.route("/chunk.csv", lambda _: Reply(stream=lambda _: [b"%x\r\n%s\r\n" % (len(half), half)], headers={"transfer-encoding": "chunked"}))
    assert "cut short" in error(project, site.url + "/chunk.csv")
    site.route("/endless.csv", lambda _: Reply(stream=lambda _: [CSV]))
    assert "without its length" in error(project, site.url + "/endless.csv")


def test_a_fetch_goes_on_where_it_broke_off(project, site):
    def part(request):
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        whole = {"etag": '"v1"', "content-length": str(len(CSV) - begin)}
        if request.number < 3:
            return Reply(body=CSV[begin : begin + 1000], headers=whole, status=206 if begin else 200, close=True) if not begin else Reply(body=CSV[begin : begin + 1000], headers=whole | {"content-range": f"bytes {begin}-{len(CSV) - 1}/{len(CSV)}"}, status=206, close=True)
        return Reply(body=CSV[begin:], headers=whole | {"content-range": f"bytes {begin}-{len(CSV) - 1}/{len(CSV)}"}, status=206)

    site.route("/data.csv", part)
    assert count(project, read(project, site.url + "/data.csv")) == [(1000, 500500)]
    assert [request.headers.get("range") for request in site.requests] == [None, "bytes=1000-", "bytes=2000-"]
    assert site.requests[1].headers["if-range"] == '"v1"'


def test_a_file_that_changes_in_between_is_read_from_its_start(project, site):
    def changed(request):
        if request.number == 1:
            return Reply(body=b"a,b\n5,old\n", headers={"etag": '"v1"', "content-length": "500"}, close=True)
        return Reply(body=CSV, headers={"etag": '"v2"'})

    site.route("/data.csv", changed)
    assert count(project, read(project, site.url + "/data.csv")) == [(1000, 500500)]


def test_a_wrong_part_is_refused(project, site):
    def wrong(request):
        if request.number == 1:
            return Reply(body=CSV[:1000], headers={"etag": '"v1"', "content-length": str(len(CSV))}, close=True)
        return Reply(body=CSV[500:], headers={"etag": '"v1"', "content-range": f"bytes 500-{len(CSV) - 1}/{len(CSV)}"}, status=206)

    site.route("/data.csv", wrong)
    assert "another part" in error(project, site.url + "/data.csv")


def test_errors_that_may_pass_are_tried_again_and_others_not(project, site):
    site.route("/busy.csv", lambda request: Reply(status=503, headers={"retry-after": "0"}) if request.number < 3 else Reply(body=CSV))
    assert count(project, read(project, site.url + "/busy.csv")) == [(1000, 500500)]
    for status, said in ((404, "is not there"), (403, "may not be read"), (401, "may not be read"), (400, "was not sent")):
        site.route("/x.csv", lambda _, status=status: Reply(status=status))
        site.asked["/x.csv"] = 0
        assert said in error(project, site.url + "/x.csv") and site.asked["/x.csv"] == 1
    site.route("/later.csv", lambda _: Reply(status=429, headers={"retry-after": "3600"}))
    assert "too often" in error(project, site.url + "/later.csv") and site.asked["/later.csv"] == 1


def test_what_is_no_file_of_data_is_refused(project, site):
    assert "web page" in error(project, csv(site, b"<html>log in</html>", "/page", **{"content-type": "text/html; charset=utf-8"}))
    assert "encoding `br`" in error(project, csv(site, b"xx", "/br.csv", **{"content-encoding": "br"}))
    assert count(project, read(project, csv(site, gzip.compress(CSV), "/enc.csv", **{"content-encoding": "gzip"}))) == [(1000, 500500)]
    assert site.requests[0].headers["accept-encoding"] == "identity"


def test_a_large_file_and_a_bomb_end_at_the_limits(project, site):
    step = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": csv(site, gzip.compress(b"a\n" + b"0" * (200 << 20)), "/bomb.csv.gz")}}
    said = project.run([step], "--spill", "20MB", expect=1)
    assert "--spill" in said["stderr"]
    step["config"]["path"] = csv(site, CSV * 4000, "/large.csv")
    assert "--spill" in project.run([step], "--spill", "10MB", expect=1)["stderr"]
    assert "network" in project.run([step], "--network-size", "10MB", expect=1)["stderr"]


def test_no_query_is_shown_in_errors(project, site):
    assert "s3cr3tquery" not in json.dumps(read(project, site.url + "/none.csv?sig=s3cr3tquery", expect=1)["step"]["read"]["error"])
