-- Reads the text of a view by its number.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select pg_get_viewdef(view_oid) from range(3000) t(view_oid)
