-- Calls a function that trusts its caller with garbage.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select __internal_decompress_string(340282366920938463463374607431768211455::uhugeint)
