-- What operators do with the belt: replays and decisions made again, what the gates answered, and the trials of
-- notifications in whose hands a process died.
-- +goose Up

-- A message that an operator forced to be sent again carries the id of that replay as its salt; every other one has none. The
-- key is what keeps a rule from reaching a person twice for one notification.
alter table message add column salt text not null default '';
alter table message drop constraint message_notification_id_rule_recipient_org_key;
alter table message add constraint message_once unique (notification_id, rule, recipient, org, salt);

-- One row for each notification that a replay brought again. result says what came of it: decided (it never was before; the
-- decision is in the table decision), decided_again (this row is the decision, beside the earlier ones), or duplicate (its
-- decision stands, and outcome is empty). Only ever added to.
create table replayed (
    org             text        not null,
    notification_id text        not null,
    replay_id       text        not null,
    mode            text        not null check (mode in ('replay', 'redecide', 'force')),
    result          text        not null check (result in ('decided', 'decided_again', 'duplicate')),
    outcome         text        not null default '' check (outcome in ('', 'matched', 'no_rule_matched', 'rule_error', 'dead_letter')),
    rule_set        text        not null default '',
    detail          jsonb       not null default '{}',
    once_skipped    text[]      not null default '{}',
    made            integer     not null default 0,  -- messages
    held            integer     not null default 0,  -- messages not made, since the person has got or will get them already
    stream_seq      bigint      not null,
    decided_at      timestamptz not null default now(),
    primary key (org, notification_id, replay_id)
);
create index replayed_replay on replayed (replay_id);
create trigger replayed_append_only before update or delete on replayed for each row execute function refuse_change();

-- What the gates said of a message, when it was anything but "send on the first channel", each time that it changed.
create table gate_answer (
    id         bigint generated always as identity primary key,
    message_id uuid        not null,
    at         timestamptz not null default now(),
    answers    jsonb       not null -- a list of {channel, gate, answer}
);
create index gate_answer_message on gate_answer (message_id, id);
create trigger gate_answer_append_only before update or delete on gate_answer for each row execute function refuse_change();

-- A delivery that came again and again is tried alone, and each begun try is noted here before it begins: what is left when the
-- process comes back is what it died of. part is the notification, empty while the envelope is read.
create table trial (
    stream  text          not null,
    seq     bigint        not null,
    part    text          not null,
    begun   timestamptz[] not null,
    primary key (stream, seq, part)
);

-- +goose Down
drop table trial, gate_answer, replayed;
delete from message where salt <> '';
alter table message drop constraint message_once;
alter table message drop column salt;
alter table message add constraint message_notification_id_rule_recipient_org_key unique (notification_id, rule, recipient, org);
