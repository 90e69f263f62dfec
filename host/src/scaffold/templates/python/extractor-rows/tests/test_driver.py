import unittest

import driver
from osiris_sdk.testing import run


class Extract(unittest.TestCase):
    def test_each_name_is_greeted(self):
        result = run(driver.extract, config={"names": ["Ada", "Žofie"]})
        self.assertEqual(result.rows(), [{"id": 1, "greeting": "hello Ada"}, {"id": 2, "greeting": "hello Žofie"}])

    def test_no_names_make_an_empty_table(self):
        self.assertEqual(run(driver.extract, config={"names": []}).rows(), [])
