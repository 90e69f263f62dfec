-- Drops the view through which it reads its input.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
drop view source
