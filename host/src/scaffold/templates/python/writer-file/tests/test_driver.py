import unittest

import driver
from osiris_sdk import DataError
from osiris_sdk.testing import Input, run


def write(*products):
    orders = Input([{"product": product} for product in products], product=str)
    return run(driver.load, config={"path": "a.txt", "column": "product"}, inputs={"orders": orders}).file("a.txt")


class Load(unittest.TestCase):
    def test_each_row_is_a_line(self):
        self.assertEqual(write("tea", "žito", ""), "tea\nžito\n\n".encode())

    def test_what_is_not_one_line_is_an_error(self):
        for wrong in (None, "a\nb"):
            with self.assertRaisesRegex(DataError, "row 2 "):
                write("tea", wrong)
