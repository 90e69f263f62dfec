-- Hides a file in a quoted name.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from "/etc/passwd"
