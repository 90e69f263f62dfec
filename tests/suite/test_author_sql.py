"""What a server says about the SQL of a pipeline's author is shown at the author's line, and never at SQL that Osiris wrote."""

import pytest
from shops import mariadb, mysql_shop, postgres, postgres_shop, shop  # noqa: F401: fixtures


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("select id,\n  frm t", "LINE 1: select id,\n               ^"),
        ("select id\nfrom t\nwher id > 1", "LINE 3: wher id > 1\n             ^"),
        ("-- how many\nselect nix\nfrom t", "LINE 2: select nix\n               ^"),
        ("select id from t where", "LINE 1: select id from t where\n                              ^"),
        ("\n\nselect id\nfrm t limit 5;", "LINE 4: frm t limit 5\n            ^"),
        ("select 'ü ü', id fro t", "LINE 1: select 'ü ü', id fro t\n                             ^"),
        ("select " + "id, " * 50 + "\nid fro t\n" + "-- long\n" * 30, "LINE 2: id fro t\n               ^"),
    ],
)
def test_a_wrong_query_is_shown_with_its_line_and_place(shop, query, shown):  # noqa: F811
    shop.sql("create table t (id int)")
    error = shop.read(expect=1, query=query)
    assert error.endswith(f"\n\n{shown}"), error


def test_a_wrong_filter_is_shown_without_the_sql_around_it(shop):  # noqa: F811
    shop.sql("create table t (id int)")
    for filter, shown in [
        ("id > 0\nand nix = 1", "LINE 2: and nix = 1\n            ^"),
        ("id > 0 and", "LINE 1: id > 0 and\n                  ^"),
        ("id > 0)\nor (id <", "LINE 2: or (id <\n                ^"),
    ]:
        error = shop.read(expect=1, table="t", filter=filter)
        assert error.endswith(shown), error
        assert "select *" not in error and "limit" not in error, error
    # What the author did not write is not shown as theirs.
    for config in ({"table": "nix"}, {"table": "t", "columns": ["nix"]}, {"table": "t", "columns": ["nix"], "filter": "id > 0"}):
        error = shop.read(expect=1, **config)
        assert "nix" in error and "LINE" not in error and "^" not in error, error


def test_a_statement_of_the_servers_own_function_is_shown_as_such(postgres_shop):  # noqa: F811
    postgres_shop.sql("create function f() returns int language plpgsql as $$ begin return (select nix from pg_class limit 1); end $$")
    error = postgres_shop.read(expect=1, query="select f() as a")
    assert "own function" in error and "LINE 1: (select nix" in error, error
