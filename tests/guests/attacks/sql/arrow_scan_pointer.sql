-- Makes DuckDB read memory at an address of its choice.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from arrow_scan(1234::pointer, 5678::pointer, 9::pointer)
