-- Forces a checkpoint through a function.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from force_checkpoint()
