-- Lists the tables of all files that are attached.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from (show all tables)
