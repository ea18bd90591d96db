-- Examples. FINAL counts a transition once, whatever was repeated.

-- How many orders entered each status, by hours.
SELECT toStartOfHour(transition_time) AS hour, workflow, to_status, count() AS entered
FROM comanda.transitions FINAL
WHERE tenant = 'default' AND transition_time >= now() - INTERVAL 1 DAY
GROUP BY ALL ORDER BY ALL;

-- How long orders stayed in each status, in seconds.
SELECT workflow, from_status, count() AS left, round(avg(s), 3) AS mean,
       quantilesExact(0.5, 0.9, 0.99)(s) AS p50_p90_p99
FROM (
    SELECT workflow, from_status, (toUnixTimestamp64Micro(transition_time) - toUnixTimestamp64Micro(assumeNotNull(from_time))) / 1e6 AS s
    FROM comanda.transitions FINAL
    WHERE tenant = 'default' AND from_status != '' AND transition_time >= now() - INTERVAL 7 DAY
)
GROUP BY ALL ORDER BY ALL;

-- How orders ended, by days.
SELECT toDate(transition_time) AS day, workflow, count() AS ended, countIf(phase = 2) AS succeeded, countIf(phase = 3) AS cancelled,
       countIf(phase = 4) AS rejected, countIf(phase = 5) AS failed
FROM comanda.transitions FINAL
WHERE tenant = 'default' AND phase > 1 AND transition_time >= now() - INTERVAL 30 DAY
GROUP BY ALL ORDER BY ALL;

-- What was sold.
SELECT workflow, currency, count() AS orders, sum(item_count) AS items, sum(total) AS total
FROM comanda.transitions FINAL
WHERE tenant = 'default' AND phase = 2 AND transition_time >= now() - INTERVAL 30 DAY
GROUP BY ALL ORDER BY ALL;
