"""Greets each name in the config."""

import osiris_sdk as osiris


@osiris.extractor
def extract(config, output):
    output.write("main", ({"greeting": f"hello {name}"} for name in config.names), greeting=str)
