-- Alters its output, bypassing the contract.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
create table osiris_output.main.extra as select 1
