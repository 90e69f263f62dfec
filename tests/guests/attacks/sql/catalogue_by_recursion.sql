-- Starts a recursion with the catalogue whose name it has.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
with recursive duckdb_databases as (select path from duckdb_databases union all select path from duckdb_databases) select * from duckdb_databases
