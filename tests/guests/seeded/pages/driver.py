"""Reads all pages of a REST API. Its spec says which bug it has."""

import osiris_sdk as osiris
from osiris_sdk import http


@osiris.extractor
def extract(config, output):
    token = osiris.secret("token")
    if config.bug == "prints-token":
        print("the token is", token)
    api = http.session(config.url, bearer=token)
    table = output.table("main", id=int, name=str)
    size = 2 if config.bug == "ignores-option" else config.size
    for page in api.pages_by_cursor("items", cursor="next", param="page", params={"size": size}):
        table.write(page.json()["items"])
