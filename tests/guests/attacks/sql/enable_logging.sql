-- Makes DuckDB log to a file.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from enable_logging('QueryLog', storage = 'file', storage_path = '/tmp/osiris-attack')
