-- Lists tables through PostgreSQL's catalogue.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select relname from pg_catalog.pg_class
