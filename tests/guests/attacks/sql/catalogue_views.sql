-- Reads how its inputs' views were made, with the names behind them.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select sql from duckdb_views() where not internal
