-- Reads the host's environment, with its secrets.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_text('/proc/PARENT/environ')
