-- Reads another step's data file by a URI.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('file://SESSION/data/theirs.duckdb')
