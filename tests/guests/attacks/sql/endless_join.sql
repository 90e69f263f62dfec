-- Joins ten million rows with ten million others.
-- stopped by: limits
-- seen as: timeout: time limit
-- alone: limits
-- flags: --step-timeout 1
select count(*) as n from range(10000000) a(i), range(10000000) b(j) where (i * j) % 7 = 3
