"""Reads a log file: a time, a level and a message in each line."""

import io

import osiris_sdk as osiris


@osiris.extractor
def extract(config, output):
    source = osiris.files.open(config.path)
    lines = io.TextIOWrapper(io.BufferedReader(source), encoding="utf-8")
    output.write("main", events(lines), at=osiris.instant, level=str, message=str)
    if source.seek(0, io.SEEK_CUR) != source.size:
        raise osiris.TransientError("the file ended before its end")


def events(lines):
    for number, line in enumerate(lines, 1):
        parts = line.rstrip("\r\n").split(" ", 2)
        if parts == [""]:
            continue
        if len(parts) < 3:
            raise osiris.DataError(f"line {number} is not a time, a level and a message")
        yield {"at": parts[0], "level": parts[1], "message": parts[2]}
