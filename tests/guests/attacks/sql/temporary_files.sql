-- Lists the files that DuckDB spilled.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from duckdb_temporary_files()
