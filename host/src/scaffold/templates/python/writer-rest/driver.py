"""Sends each row to an HTTP API."""

import osiris_sdk as osiris
from osiris_sdk import http


@osiris.writer
def load(config, inputs):
    api = http.session(config.connection.url, bearer=osiris.secret("/connection/token"))
    rows = inputs.only()
    for number, row in enumerate(rows.rows(), 1):
        api.post("orders", json=row)
        osiris.progress(number, len(rows))
