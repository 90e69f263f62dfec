"""Greets each name in the config."""

import osiris_sdk as osiris


@osiris.extractor
def extract(config, output):
    osiris.log.info("greeting", names=len(config.names))
    rows = ({"id": number, "greeting": f"hello {name}"} for number, name in enumerate(config.names, 1))
    output.write("main", rows, id=int, greeting=str)
