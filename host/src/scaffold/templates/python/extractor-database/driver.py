"""Reads the entries of a key-value server."""

import json

import osiris_sdk as osiris


@osiris.extractor
def extract(config, output):
    table = output.table("main", key=str, value=str)
    with osiris.sockets.connect(config.connection.host, config.connection.port, timeout=30) as server:
        server.sendall(json.dumps(["LIST", config.prefix]).encode() + b"\n")
        for line in server.makefile("r", encoding="utf-8"):
            if line == ".\n":
                return
            if line.startswith("ERROR "):
                raise osiris.OtherError(f"the server refused to list its entries: {line[6:].strip()}")
            table.write_json(line)
    raise osiris.TransientError("the server closed the connection before the end of the list")
