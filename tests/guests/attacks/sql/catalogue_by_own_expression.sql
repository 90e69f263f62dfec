-- Gives a common table expression the name of the catalogue that it reads.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
with duckdb_databases as (select path from duckdb_databases) select * from duckdb_databases
