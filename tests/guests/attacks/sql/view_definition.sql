-- Asks for a view's text by its number.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select pg_get_viewdef(view_oid) from range(3000) t(view_oid)
