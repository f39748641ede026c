-- A run's statements go over whole tables, where those of the services look rows up: the planner may
-- choose again.
-- $1 statement_timeout in ms
SELECT set_config('statement_timeout', $1, false), set_config('enable_seqscan', 'on', false),
       set_config('random_page_cost', '1.1', false), set_config('work_mem', '64MB', false),
       set_config('jit', 'off', false), set_config('default_statistics_target', '20', false)
