-- Sorts more than it may spill.
-- stopped by: limits
-- seen as: internal: refused
-- alone: limits
-- flags: --engine-memory 64MB --spill 10MB
select i, md5(i::varchar) as m from range(50000000) t(i) order by m
