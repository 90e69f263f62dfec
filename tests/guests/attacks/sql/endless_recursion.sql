-- Recurses endlessly in a query.
-- stopped by: limits
-- seen as: timeout: time limit
-- alone: limits
-- flags: --step-timeout 1
with recursive t(i) as (select 1 union all select i + 1 from t) select max(i) as m from t
