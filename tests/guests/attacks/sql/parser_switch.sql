-- Switches DuckDB to a parser that the check does not use.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from enable_peg_parser()
