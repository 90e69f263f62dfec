-- Reads the databases' paths by a macro that takes a relation's name.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from histogram_values('duckdb_databases', path)
