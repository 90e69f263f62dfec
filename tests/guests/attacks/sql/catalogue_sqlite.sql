-- Lists tables through SQLite's catalogue.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select name, sql from sqlite_master
