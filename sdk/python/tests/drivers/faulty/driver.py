"""Writes rows, and fails afterwards if the config says so."""

import logging
import random

import osiris_sdk as osiris


@osiris.extractor
def extract(config, output):
    logging.getLogger("driver").warning("drew %s", random.random())
    output.write("main", ({"number": number, "text": "x" * 50} for number in range(config.rows)))
    if config.fails:
        raise ValueError("boom")
