-- Two ways: messages that come of no notification, conversations that people work on, reply rules.
-- +goose Up

-- What a message comes of. A message of a rule belongs to a notification; the others have no notification, and a key instead: the
-- id of what they come of, so that it makes one message however often it is tried. The key of compliance is the SID of the STOP or
-- HELP that it answers.
alter table message
    add column origin     text not null default 'rule'
        check (origin in ('rule', 'human', 'reply_rule', 'compliance', 'console')),
    add column origin_key text not null default '',
    add constraint message_origin check ((origin = 'rule') = (notification_id <> '') and (origin = 'rule') = (origin_key = ''));
alter table message drop constraint message_once;
alter table message add constraint message_once unique (notification_id, rule, recipient, org, salt, origin, origin_key);
create unique index message_origin_once on message (origin, origin_key) where origin <> 'rule';

-- What people do with a conversation. While paused_until lies ahead, no reply rule answers in it.
alter table conversation
    add column state        text        not null default 'open' check (state in ('open', 'closed')),
    add column assigned_to  text        not null default '',
    add column paused_until timestamptz,
    add column marked_at    timestamptz,                       -- since when it waits for a human
    add column marked_by    text        not null default ''; -- the reply rule that asked for one
create index conversation_newest on conversation (last_inbound_at desc);

-- One row for each reply that the reply rules have not been asked about yet. A reply that says something about consent has none.
create table reply_task (
    sid             text        primary key references inbound (sid),
    conversation_id uuid        not null,
    seq             bigint      not null,           -- of the reply in CALLBACKS: those of one conversation are decided in order
    due_at          timestamptz not null default now(),
    tries           integer     not null default 0
);
create index reply_task_due on reply_task (due_at);
create index reply_task_order on reply_task (conversation_id, seq);

-- What the reply rules decided about each reply, once. Only ever added to.
create table reply_decision (
    sid        text        primary key,
    outcome    text        not null check (outcome in ('matched', 'no_rule_matched', 'rule_error', 'dead_letter')),
    rule       text        not null default '', -- the one that acted
    rule_set   text        not null,
    detail     jsonb       not null,            -- the verdicts, and why an answer was not made
    decided_at timestamptz not null default now()
);
create trigger reply_decision_append_only before update or delete on reply_decision for each row execute function refuse_change();

-- Questions of reply rules. At most one waits for its answer in a conversation.
create table question (
    id              bigint generated always as identity primary key,
    conversation_id uuid        not null references conversation (id),
    rule            text        not null,
    name            text        not null,
    answers         text[]      not null,
    asked_by        text        not null unique, -- the SID of the reply that made us ask
    asked_at        timestamptz not null default now(),
    expires_at      timestamptz not null,
    state           text        not null default 'open' check (state in ('open', 'answered', 'replaced', 'timed_out')),
    answer          text        not null default '',
    answered_by     text        not null default '' -- the SID of the reply that is the answer
);
create unique index question_open on question (conversation_id) where state = 'open';
create index question_expires on question (expires_at) where state = 'open';

-- Webhooks of reply rules: one for each reply whose rule has one.
create table webhook (
    id         uuid        primary key,
    sid        text        not null unique,      -- of the reply
    url        text        not null,
    body       text        not null,
    state      text        not null default 'queued' check (state in ('queued', 'delivered', 'failed')),
    tries      integer     not null default 0,
    error      text        not null default '',
    due_at     timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index webhook_due on webhook (due_at) where state = 'queued';

-- +goose Down
drop table webhook, question, reply_decision, reply_task;
drop index conversation_newest;
alter table conversation drop column state, drop column assigned_to, drop column paused_until, drop column marked_at,
    drop column marked_by;
drop index message_origin_once;
delete from live_attempt l using attempt a, message m where l.attempt_id = a.id and m.id = a.message_id and m.origin <> 'rule';
delete from attempt a using message m where m.id = a.message_id and m.origin <> 'rule';
delete from belt b using message m where m.id = b.message_id and m.origin <> 'rule';
delete from message where origin <> 'rule';
alter table message drop constraint message_once;
alter table message drop constraint message_origin;
alter table message drop column origin, drop column origin_key;
alter table message add constraint message_once unique (notification_id, rule, recipient, org, salt);
