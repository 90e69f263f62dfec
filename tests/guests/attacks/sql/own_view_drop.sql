-- Drops the name that its input has.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
drop view source
