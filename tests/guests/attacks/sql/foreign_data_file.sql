-- Reads the data file of a step that is not its input.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('SESSION/data/theirs.duckdb')
