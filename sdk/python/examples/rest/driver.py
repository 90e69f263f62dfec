"""Reads the items of a paged REST API, page by page."""

from dataclasses import dataclass

import osiris_sdk as osiris
from osiris_sdk import http


@dataclass
class Config:
    url: str
    page_size: int = 100


@osiris.extractor
def extract(config: Config, output):
    api = http.session(config.url, bearer=osiris.secret("token"))
    table = output.table(
        "main", id=int, name=str, amount=osiris.decimal(18, 2), tags=list[str], created_at=osiris.instant
    )
    pages = api.pages_by_cursor("items", cursor="next", param="page", params={"size": config.page_size})
    for number, page in enumerate(pages, 1):
        table.write(page.json()["items"])
        osiris.progress(number)
