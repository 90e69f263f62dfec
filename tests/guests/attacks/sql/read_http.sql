-- Reads from the network.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_csv('http://127.0.0.1:9/x')
