-- Reads the columns of a table that it names in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from pragma_table_info('source')
