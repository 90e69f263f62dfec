-- Reads where extensions are installed.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select install_path from duckdb_extensions()
