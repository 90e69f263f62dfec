-- Reads the definitions of its inputs' views, which contain the names behind them.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select sql from duckdb_views() where not internal
