-- When a message may go by the clock of its recipient, and how many.
-- +goose Up

-- What the rule says of quiet hours, and where the record says the recipient is: {"wish", "zone", "country", "state", "postal"}.
-- Null: the rule ignores quiet hours, and the recipient's place is nobody's business.
alter table message add column hours jsonb;

-- The caps that hold for it, as the rule files had them when it was made. Null: none.
alter table message add column caps jsonb;

-- What the caps of wider scopes than a person have counted, in buckets. Changed under an advisory lock for (name, key) only.
create table cap_count (
    name     text        not null,
    key      text        not null,
    ends_at  timestamptz not null,
    messages integer     not null,
    segments integer     not null,
    primary key (name, key, ends_at)
) with (fillfactor = 50);

-- How many messages a rule with a breaker made in each span of its breaker's length, for seven days.
create table rule_count (
    rule     text        not null,
    span     timestamptz not null, -- its begin
    messages integer     not null,
    primary key (rule, span)
) with (fillfactor = 50);

-- The rules whose messages wait until a human lets them go on.
create table rule_pause (
    rule      text        primary key,
    paused_at timestamptz not null default now(),
    paused_by text        not null,
    note      text        not null
);

-- +goose Down
drop table rule_pause, rule_count;
drop table cap_count;
alter table message drop column caps, drop column hours;
