-- Names a table in a text argument of a macro.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from histogram('source', a)
