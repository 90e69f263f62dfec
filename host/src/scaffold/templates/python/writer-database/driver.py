"""Sets an entry of a key-value server for each row."""

import json

import osiris_sdk as osiris


@osiris.writer
def load(config, inputs):
    rows = inputs.only()
    with osiris.sockets.connect(config.connection.host, config.connection.port, timeout=30) as server:
        answers = server.makefile("r", encoding="utf-8")
        for number, row in enumerate(rows.rows(config.key, config.value), 1):
            server.sendall(json.dumps(["SET", row[config.key], row[config.value]]).encode() + b"\n")
            answer = answers.readline()
            if not answer:
                raise osiris.TransientError("the server closed the connection")
            if answer != "OK\n":
                raise osiris.DataError(f"the server refused row {number}: {answer.removeprefix('ERROR ').strip()}")
        osiris.progress(len(rows), len(rows))
