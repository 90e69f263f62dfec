-- Reads the session's log.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_csv('SESSION/logs/events.jsonl')
