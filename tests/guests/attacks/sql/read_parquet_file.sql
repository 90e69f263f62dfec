-- Reads a file as Parquet.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_parquet('/etc/*')
