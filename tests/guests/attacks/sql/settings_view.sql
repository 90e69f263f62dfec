-- Reads all settings through PostgreSQL's view.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from pg_catalog.pg_settings
