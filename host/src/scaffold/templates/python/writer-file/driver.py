"""Writes a column of texts to a file, a line for each row."""

import osiris_sdk as osiris


@osiris.writer
def load(config, inputs):
    target = osiris.files.create(config.path)
    row = 0
    for batch in inputs.only().batches(config.column):
        lines = []
        for text in batch[config.column]:
            row += 1
            if text is None or "\n" in text:
                what = "null" if text is None else "a text with a line break"
                raise osiris.DataError(f"row {row} has {what} in column `{config.column}`")
            lines.append(text + "\n")
        target.write("".join(lines).encode())
