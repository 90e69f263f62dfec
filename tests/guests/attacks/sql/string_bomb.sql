-- Makes a text of ten gigabytes.
-- stopped by: limits
-- seen as: internal: refused
-- alone: limits
-- flags: --engine-memory 64MB
select repeat('x', 10000000000) as t
