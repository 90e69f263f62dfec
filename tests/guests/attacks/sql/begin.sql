-- Begins a transaction that never ends.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
begin transaction
