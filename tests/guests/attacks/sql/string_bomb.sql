-- Builds a text of 10 GB.
-- stopped by: limits
-- seen as: internal: refused
-- alone: limits
-- flags: --engine-memory 64MB
select repeat('x', 10000000000) as t
