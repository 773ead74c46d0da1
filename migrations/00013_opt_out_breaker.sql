-- A rule whose messages make people opt out is paused.
-- +goose Up

-- At which share of opt-outs its rule is to be paused, as the rule file had it when the message was made. Null: at none.
alter table message add column opt_out_breaker jsonb;

-- Messages that carry such a limit and that people answered with an opt-out; checked: the share was looked at since.
create table rule_opt_out (
    message_id uuid        primary key,
    rule       text        not null,
    said_at    timestamptz not null default now(),
    checked    boolean     not null default false
) with (fillfactor = 70);
create index rule_opt_out_rule on rule_opt_out (rule, said_at);
create index rule_opt_out_due on rule_opt_out (rule) where not checked;

-- When a human last let a paused rule go on: what went out before is not held against it again.
create table rule_resume (
    rule       text        primary key,
    resumed_at timestamptz not null
);

-- +goose Down
drop table rule_resume, rule_opt_out;
alter table message drop column opt_out_breaker;
