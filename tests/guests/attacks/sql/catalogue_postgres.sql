-- Lists tables as PostgreSQL does.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select relname from pg_catalog.pg_class
