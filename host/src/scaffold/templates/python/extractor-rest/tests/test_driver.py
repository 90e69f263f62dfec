import unittest
from decimal import Decimal

import driver
from osiris_sdk import AuthError
from osiris_sdk.testing import Exchange, run

URL = "https://api.example.com"
CONFIG = {"connection": {"url": URL}, "page_size": 2}


def order(number):
    return {"id": number, "customer": None, "amount": "12.50", "created_at": "2026-01-31T10:00:00Z"}


class Extract(unittest.TestCase):
    def test_all_pages_are_read(self):
        pages = [
            Exchange(f"{URL}/orders?size=2", json={"items": [order(1), order(2)], "next": 2}),
            Exchange(f"{URL}/orders?size=2&page=2", json={"items": [order(3)], "next": None}),
        ]
        result = run(driver.extract, config=CONFIG, secrets={"/connection/token": "hunter2"}, http=pages)
        self.assertEqual([row["id"] for row in result.rows()], [1, 2, 3])
        self.assertEqual(result.rows()[0]["amount"], Decimal("12.50"))
        self.assertEqual(result.requests[0].headers["authorization"], "Bearer hunter2")

    def test_a_refused_token_is_an_error(self):
        with self.assertRaises(AuthError):
            run(driver.extract, config=CONFIG, http=[Exchange(f"{URL}/orders?size=2", status=401)])
