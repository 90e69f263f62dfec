-- Sets a variable.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set variable x = 1
