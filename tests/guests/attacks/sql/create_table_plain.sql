-- Creates a table in memory.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
create table x as select 1
