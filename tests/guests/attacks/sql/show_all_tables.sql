-- Lists the tables of all attached files.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from (show all tables)
