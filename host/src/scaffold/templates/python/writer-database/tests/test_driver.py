import unittest

import driver
from osiris_sdk import DataError, TransientError
from osiris_sdk.testing import Input, run

CONFIG = {"connection": {"host": "store", "port": 7000}, "key": "key", "value": "value"}
ENTRIES = Input([{"key": "a", "value": "ž"}, {"key": "b", "value": None}], key=str, value=str)


class Server:
    def __init__(self, answer):
        self.answer, self.received = answer, b""

    def read(self, length):
        part, self.answer = self.answer[:length], self.answer[length:]
        return part

    def write(self, data):
        self.received += bytes(data)


class Load(unittest.TestCase):
    def run_with(self, answer):
        self.server = Server(answer)
        return run(driver.load, config=CONFIG, inputs={"entries": ENTRIES}, tcp={"store:7000": self.server})

    def test_each_row_sets_an_entry(self):
        self.run_with(b"OK\nOK\n")
        self.assertEqual(self.server.received, b'["SET", "a", "\\u017e"]\n["SET", "b", null]\n')

    def test_a_refusal_and_a_broken_connection_are_errors(self):
        with self.assertRaisesRegex(DataError, "row 2: no room"):
            self.run_with(b"OK\nERROR no room\n")
        with self.assertRaises(TransientError):
            self.run_with(b"OK\n")
