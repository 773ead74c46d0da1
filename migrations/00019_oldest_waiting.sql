-- How long the oldest reply waits for the reply rules, and the oldest webhook for its server, without reading the others.
-- +goose Up

alter table reply_task add column created_at timestamptz not null default now();
update reply_task t set created_at = i.received_at from inbound i where i.sid = t.sid;
create index reply_task_age on reply_task (created_at);
create index webhook_waits on webhook (created_at) where state = 'queued';

-- +goose Down
drop index webhook_waits;
drop index reply_task_age;
alter table reply_task drop column created_at;
