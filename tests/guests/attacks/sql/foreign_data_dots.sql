-- Reads another step's data file by a path with dots.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('SESSION/scratch/../data/./theirs.duckdb')
