-- Reads the process's environment.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('/proc/self/environ')
