import unittest

import driver
from osiris_sdk import ConfigError
from osiris_sdk.testing import Exchange, Input, run

URL = "https://api.example.com"
ORDERS = Input([{"product": "tea", "quantity": 2}, {"product": None, "quantity": 1}], product=str, quantity=int)


def send(*exchanges):
    return run(driver.load, config={"connection": {"url": URL}}, inputs={"orders": ORDERS}, http=exchanges)


class Load(unittest.TestCase):
    def test_each_row_is_sent(self):
        rows = ({"product": "tea", "quantity": 2}, {"product": None, "quantity": 1})
        result = send(*(Exchange(f"{URL}/orders", "POST", 201, request_json=row) for row in rows))
        self.assertEqual(result.progress, [(1, 2), (2, 2)])

    def test_a_refused_row_is_an_error(self):
        with self.assertRaises(ConfigError):
            send(Exchange(f"{URL}/orders", "POST", 422))
