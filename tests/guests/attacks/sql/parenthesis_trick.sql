-- Closes the host's parenthesis.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1) as x; attach '/tmp/x' as x; select (1
