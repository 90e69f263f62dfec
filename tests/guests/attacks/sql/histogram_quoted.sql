-- Spells a macro's name in capitals and quotes.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from "HISTOGRAM_Values"('pg_settings', setting)
