-- Reads another step's data file by a glob pattern.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('SESSION/data/*')
