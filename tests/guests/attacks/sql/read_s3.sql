-- Reads from cloud storage.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_parquet('s3://bucket/x.parquet')
