-- Asks for the columns of a table by its name in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from pragma_table_info('source')
