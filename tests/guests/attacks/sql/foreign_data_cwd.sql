-- Reads another step's data file through the working directory.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('/proc/self/cwd/SESSION/data/theirs.duckdb')
