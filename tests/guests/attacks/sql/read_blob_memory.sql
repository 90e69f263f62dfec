-- Reads the process's memory map.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_text('/proc/self/maps')
