"""Reads all pages of a REST API."""

import osiris_sdk as osiris
from osiris_sdk import http


@osiris.extractor
def extract(config, output):
    api = http.session(config.url, bearer=osiris.secret("token"))
    table = output.table("main", amount=osiris.decimal(18, 2), created_at=osiris.instant)
    for page in api.pages_by_cursor("", cursor="next", param="page"):
        table.write(page.json()["items"])
