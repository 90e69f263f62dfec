-- Names a table by the text that a macro takes.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from histogram('source', a)
