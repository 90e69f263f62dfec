import unittest

import driver
from osiris_sdk import DataError
from osiris_sdk.testing import run


def read(text):
    return run(driver.extract, config={"path": "a.log"}, files={"a.log": text.encode()})


class Extract(unittest.TestCase):
    def test_each_line_is_a_row_and_empty_lines_are_skipped(self):
        rows = read("2026-01-31T10:00:00Z WARN disk is full\n\n2026-01-31T10:00:01Z INFO žluť").rows()
        self.assertEqual([(row["level"], row["message"]) for row in rows], [("WARN", "disk is full"), ("INFO", "žluť")])

    def test_a_line_of_another_form_is_an_error(self):
        with self.assertRaisesRegex(DataError, "line 2 "):
            read("2026-01-31T10:00:00Z INFO ready\noops")
