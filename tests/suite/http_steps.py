"""Steps that call web servers: shared by the tests of http.extractor and graphql.extractor."""

import json
from pathlib import Path

from http_server import Server

SECRET = 's3cret-"/+?&=x y'


def grant(project, *servers: Server, family: str = "http", **fields) -> None:
    """Names the servers in connections, so that steps may call them; the first one has more fields and is
    `@http.api0`."""
    connections = {}
    for place, server in enumerate(servers):
        url = {"endpoint" if family == "graphql" else "url": server.url if family == "http" else server.url + "/graphql"}
        connections[f"api{place}"] = url | {"private_network": True} | (fields if place == 0 else {})
    project.write("osiris_connections.yaml", json.dumps({"connections": {family: connections}}))


def step(**config) -> dict:
    return {"id": "read", "component": "http.extractor", "config": {"retry_delay": 0.01, **config}}


def read(project, *, expect: int = 0, **config) -> dict:
    return project.run([step(**config)], expect=expect)


def rows(project, **config) -> list[tuple]:
    return project.rows(read(project, **config), "read")


def failed(project, **config) -> dict:
    """The error of a step that must fail without leaving anything behind."""
    result = read(project, expect=1, **config)
    assert not (Path(result["session_path"]) / "data" / "read.duckdb").exists()
    return result["step"]["read"]["error"]


def doctor(project, *arguments) -> tuple[int, list[dict]]:
    done = project.osiris("connections", "doctor", *arguments, "--json")
    found = json.loads(done.stdout)
    return done.returncode, found if isinstance(found, list) else found["connections"]
