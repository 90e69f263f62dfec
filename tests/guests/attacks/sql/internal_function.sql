-- Calls an internal function that does not check its arguments, with garbage.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select __internal_decompress_string(340282366920938463463374607431768211455::uhugeint)
