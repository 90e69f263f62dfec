import unittest

import driver
from osiris_sdk.testing import Input, run


class Transform(unittest.TestCase):
    def test_totals_and_labels_are_added(self):
        rows = [
            {"product": "žito", "quantity": 2, "cents": 450, "other": True},
            {"product": None, "quantity": 1, "cents": None, "other": None},
        ]
        orders = Input(rows, product=str, quantity=int, cents=int, other=bool)
        result = run(driver.transform, inputs={"orders": orders})
        added = [{"total_cents": 900, "label": "ŽITO"}, {"total_cents": None, "label": None}]
        self.assertEqual(result.rows(), [row | more for row, more in zip(rows, added)])
