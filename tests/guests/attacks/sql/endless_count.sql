-- Counts endlessly.
-- stopped by: limits
-- seen as: timeout: time limit
-- alone: limits
-- flags: --step-timeout 1
select count(*) as n from range(1000000000000000) t(i)
