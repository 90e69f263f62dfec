-- Reads a file as text.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_text('/etc/passwd')
