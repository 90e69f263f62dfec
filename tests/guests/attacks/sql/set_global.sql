-- Changes a setting globally.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set global threads = 1000
