-- The ledger. What is true stands here; the belt (JetStream) only says "look at row X".
--
-- Small tables for what is in motion (belt, live_attempt) stand apart from the tables that keep history, so that a state
-- change of a message touches no index, and the scheduler scans only what is in motion.
-- +goose Up

-- One row for each notification that was ever taken in: the truth about duplicates. Kept longer than Salesforce retries
-- (24 hours); never partitioned by time.
create table notification (
    org         text        not null check (length(org) = 15),
    id          text        not null,
    object      text        not null,
    record_id   text        not null,
    action_id   text        not null,
    received_at timestamptz not null,
    stream_seq  bigint      not null, -- the envelope in NOTIFICATIONS that brought it first
    primary key (id, org)
);
create index notification_record on notification (record_id, received_at);

-- One row for each time that Salesforce sent a notification again.
create table duplicate (
    org        text   not null,
    id         text   not null,
    stream_seq bigint not null,
    primary key (org, id, stream_seq)
);

-- How each notification ended, with the rule set and the previous values that the decision used.
create table decision (
    org             text        not null,
    notification_id text        not null,
    outcome         text        not null check (outcome in ('matched', 'no_rule_matched', 'rule_error', 'dead_letter')),
    rule_set        text        not null,
    detail          jsonb       not null,          -- one result per rule, previous values used
    once_skipped    text[]      not null default '{}', -- rules whose `once` key was taken before
    decided_at      timestamptz not null default now(),
    primary key (org, notification_id)
);

-- The last-known copy of each record. fields is null until the first notification about it is decided.
create table record (
    org        text        not null,
    id         text        not null,
    object     text        not null,
    fields     jsonb,
    updated_at timestamptz not null default now(),
    primary key (org, id)
) with (fillfactor = 80);

-- Which fields an outbound message definition has ever carried: an absent one of these is null, any other was not sent.
create table action (
    org    text   not null,
    id     text   not null,
    object text   not null,
    fields text[] not null,
    primary key (org, id, object)
);

-- The `once` keys of rules: one row for each record or recipient that a rule has reached.
create table once_key (
    org             text not null,
    rule            text not null,
    scope           text not null check (scope in ('record', 'recipient')),
    value           text not null,
    notification_id text not null,
    primary key (org, rule, scope, value)
);

-- One row for each message to one person. state derives from the attempts; it is written together with them.
create table message (
    id              uuid        primary key,
    org             text        not null,
    notification_id text        not null,
    record_id       text        not null,
    object          text        not null,
    contact_id      text        not null,
    rule            text        not null,
    template        text        not null,
    language        text        not null,
    purpose         text        not null check (purpose in ('transactional', 'marketing')),
    channels        text[]      not null,
    next_channel    integer     not null default 0, -- channels before this one were tried in vain
    recipient       text        not null,           -- E.164; as written when it is not a phone number
    content         jsonb       not null,
    state           text        not null check (state in ('queued', 'sending', 'unknown', 'accepted', 'sent', 'delivered',
                                                          'read', 'undelivered', 'failed', 'suppressed', 'expired')),
    reason          text        not null default '',
    detail          text        not null default '',
    error_code      integer     not null default 0,
    channel         text        not null default '', -- of the newest attempt
    attempt_id      uuid,                            -- the newest attempt
    attempts        integer     not null default 0,
    tries           integer     not null default 0,  -- refusals that count against it
    not_before      timestamptz not null,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    unique (notification_id, rule, recipient, org)
) with (fillfactor = 70);
create index message_record on message (record_id);
create index message_recipient on message (recipient);

-- The queued messages: exactly those messages have a row here. seq is the sequence in MESSAGES on which the row travels: null
-- until the one who puts it on the belt has noted it, 0 when it was claimed before and lies. The scheduler puts it on the belt
-- (again) when due_at has passed and that sequence is done, or there is none.
create table belt (
    message_id uuid        primary key,
    org        text        not null,
    due_at     timestamptz not null,
    seq        bigint,
    epoch      text        not null default ''
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
create index belt_due on belt (due_at);

-- One row for each attempt to send a message. It is committed in state sending before the call to Twilio begins.
create table attempt (
    id         uuid        primary key,
    message_id uuid        not null references message (id),
    number     integer     not null,
    org        text        not null,
    sender     text        not null,
    channel    text        not null,
    address    text        not null,
    state      text        not null check (state in ('sending', 'unknown', 'accepted', 'sent', 'delivered', 'read',
                                                     'undelivered', 'failed', 'absent', 'canceled', 'refused')),
    sid        text        unique,
    error_code integer     not null default 0,
    detail     text        not null default '',
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (message_id, number)
) with (fillfactor = 70);
create index attempt_address on attempt (sender, channel, address, started_at);

-- The attempts in sending or unknown. The unique key is the guard: one such attempt per sender, channel and address.
create table live_attempt (
    attempt_id  uuid        primary key,
    sender      text        not null,
    channel     text        not null,
    address     text        not null,
    phase       text        not null check (phase in ('sending', 'unknown')),
    lease_until timestamptz not null,
    lookup_at   timestamptz,              -- when an unknown outcome is looked up (next)
    absences    integer     not null default 0, -- listings in a row that did not show it
    unique (address, sender, channel)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
create index live_attempt_unknown on live_attempt (lookup_at) where phase = 'unknown';

-- Every delivery status that Twilio reported, in the order of arrival. Only ever added to.
create table delivery_event (
    id          bigint generated always as identity primary key,
    sid         text        not null,
    status      text        not null, -- in Twilio's words
    state       text        not null, -- in ours
    error_code  integer     not null,
    message_id  uuid,                     -- as the callback's URL said; null when it said nothing
    attempt_id  uuid,
    fallback    boolean     not null, -- a failure after which the next channel may be tried
    opt_out     text        not null, -- not empty: it says that the person opted out; the source of the entry
    received_at timestamptz not null,
    unique (sid, status, error_code)
);

-- A conversation: one person's address with one of our senders on one channel.
create table conversation (
    id               uuid        primary key,
    org              text        not null, -- of the newest message; '*' when nothing was ever sent
    sender           text        not null,
    channel          text        not null,
    address          text        not null,
    contact_id       text        not null default '',
    record_id        text        not null default '',
    last_message_id  uuid,
    last_inbound_at  timestamptz,
    last_outbound_at timestamptz,
    created_at       timestamptz not null default now(),
    unique (address, sender, channel)
) with (fillfactor = 80);

-- What people wrote to us.
create table inbound (
    sid             text        primary key,
    org             text        not null,
    conversation_id uuid        not null references conversation (id),
    sender          text        not null,
    channel         text        not null,
    address         text        not null,
    body            text        not null,
    media           jsonb       not null default '[]',
    keyword         text        not null default '', -- stop, start, help
    button          text        not null default '',
    message_id      uuid,                            -- the message that it answers
    record_id       text        not null default '',
    received_at     timestamptz not null,
    stream_seq      bigint      not null
);
create index inbound_conversation on inbound (conversation_id, received_at);
create index inbound_message on inbound (message_id);

-- The consent ledger. Only ever added to; the current state is the newest entry by the time we received it.
create table consent (
    id          bigint generated always as identity primary key,
    org         text        not null,
    address     text        not null,
    channel     text        not null check (channel in ('all', 'sms', 'whatsapp')),
    action      text        not null check (action in ('opt_in', 'opt_out')),
    source      text        not null,
    evidence    text        not null,
    note        text        not null default '',
    occurred_at timestamptz not null, -- when we received it
    recorded_at timestamptz not null default now()
);
create index consent_address on consent (address, occurred_at desc, id desc);
-- What a callback said is added once, however often it is delivered. Not so an operator's word: evidence is his name.
create unique index consent_evidence on consent (address, source, evidence, action) where evidence <> '' and source <> 'operator';

-- +goose StatementBegin
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is only ever added to', tg_table_name;
end $$;
-- +goose StatementEnd
create trigger consent_append_only before update or delete on consent for each row execute function refuse_change();
create trigger delivery_event_append_only before update or delete on delivery_event for each row execute function refuse_change();
create trigger consent_no_truncate before truncate on consent execute function refuse_change();
create trigger delivery_event_no_truncate before truncate on delivery_event execute function refuse_change();

-- The order of an attempt's states; message.State has the same in Go, and a test compares the two.
-- +goose StatementBegin
create function state_rank(state text) returns integer language sql immutable parallel safe as $$
    select case state
        when 'queued' then 0 when 'sending' then 1 when 'unknown' then 2 when 'accepted' then 3 when 'sent' then 4
        when 'undelivered' then 5 when 'failed' then 5 when 'delivered' then 5 when 'read' then 6
        else 7 end
$$;
-- +goose StatementEnd
-- +goose StatementBegin
create function refuse_backward() returns trigger language plpgsql as $$
begin
    raise exception 'attempt % can not go back from % to %', old.id, old.state, new.state;
end $$;
-- +goose StatementEnd
-- A late callback may prove that an attempt thought absent did reach Twilio: the one way out of absent.
create trigger attempt_forward_only before update of state on attempt for each row
    when (new.state <> old.state and state_rank(new.state) <= state_rank(old.state) and old.state <> 'absent') execute function refuse_backward();

-- +goose Down
drop table consent, inbound, conversation, delivery_event, live_attempt, attempt, belt, message, once_key, action, record,
    decision, duplicate, notification;
drop function refuse_change, refuse_backward, state_rank;
