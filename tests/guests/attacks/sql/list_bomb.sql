-- Aggregates more than fits into memory.
-- stopped by: limits
-- seen as: internal: Out of Memory
-- alone: limits
-- flags: --engine-memory 64MB
select list(i) as l, list(md5(i::varchar)) as m from range(100000000) t(i)
