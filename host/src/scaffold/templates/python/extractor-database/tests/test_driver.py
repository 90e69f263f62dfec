import unittest

import driver
from osiris_sdk import OtherError, TransientError
from osiris_sdk.testing import run

CONFIG = {"connection": {"host": "store", "port": 7000}, "prefix": "fruit"}


class Server:
    def __init__(self, answer):
        self.answer, self.received = answer, b""

    def read(self, length):
        part, self.answer = self.answer[:length], self.answer[length:]
        return part

    def write(self, data):
        self.received += bytes(data)


class Extract(unittest.TestCase):
    def run_with(self, answer):
        self.server = Server(answer)
        return run(driver.extract, config=CONFIG, tcp={"store:7000": self.server})

    def test_entries_are_read_to_the_end_of_the_list(self):
        result = self.run_with('{"key": "fruit:plum", "value": "švestka"}\n.\n'.encode())
        self.assertEqual(result.rows(), [{"key": "fruit:plum", "value": "švestka"}])
        self.assertEqual(self.server.received, b'["LIST", "fruit"]\n')

    def test_a_refusal_and_a_broken_list_are_errors(self):
        with self.assertRaisesRegex(OtherError, "not now"):
            self.run_with(b"ERROR not now\n")
        with self.assertRaises(TransientError):
            self.run_with(b'{"key": "a", "value": "b"}\n')
