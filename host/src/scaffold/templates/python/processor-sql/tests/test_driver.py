import unittest

import driver


class Query(unittest.TestCase):
    def test_the_column_is_quoted(self):
        self.assertEqual(
            driver.query('a "b"', '"orders"'),
            'select "a ""b""", count(*) as rows from "orders" group by all order by all',
        )
