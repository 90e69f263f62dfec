-- Reads from a pipe of the host.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_blob('/proc/PARENT/fd/0')
