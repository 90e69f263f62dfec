-- Reads another step's data file through /proc.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('/proc/self/root/SESSION/data/theirs.duckdb')
