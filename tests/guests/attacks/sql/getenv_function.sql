-- Reads an environment variable.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select getenv('HOME')
