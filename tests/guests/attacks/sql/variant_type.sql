-- Makes a value of a type that cannot be stored.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1::variant as v
