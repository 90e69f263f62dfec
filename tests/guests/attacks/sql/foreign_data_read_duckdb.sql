-- Reads another step's data file as a database.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_duckdb('SESSION/data/theirs.duckdb', table_name = 'main')
