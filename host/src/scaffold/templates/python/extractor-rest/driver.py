"""Reads all orders of an HTTP API, page by page."""

import osiris_sdk as osiris
from osiris_sdk import http


@osiris.extractor
def extract(config, output):
    api = http.session(config.connection.url, bearer=osiris.secret("/connection/token"))
    table = output.table("main", id=int, customer=str, amount=osiris.decimal(18, 2), created_at=osiris.instant)
    pages = api.pages_by_cursor("orders", cursor="next", param="page", params={"size": config.page_size})
    for number, page in enumerate(pages, 1):
        table.write(page.json()["items"])
        osiris.progress(number)
