-- Reads the paths of the databases through a macro that takes the name of a relation.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from histogram_values('duckdb_databases', path)
