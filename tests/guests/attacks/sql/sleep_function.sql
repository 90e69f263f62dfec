-- Sleeps in a query.
-- stopped by: limits
-- seen as: timeout: time limit
-- alone: limits
-- flags: --step-timeout 1
select sleep_ms(3600000)
