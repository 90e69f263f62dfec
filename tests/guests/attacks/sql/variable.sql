-- Reads a variable.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select getvariable('anything') is null as a
