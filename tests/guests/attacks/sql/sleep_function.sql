-- Sleeps in a query.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select sleep_ms(3600000)
