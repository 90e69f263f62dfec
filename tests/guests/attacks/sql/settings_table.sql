-- Reads all settings.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from duckdb_settings()
