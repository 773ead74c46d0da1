-- Life marks: what each store remembers of the other one, so that a store that was lost, or put back to an earlier time, is
-- seen before anything is sent.
-- +goose Up

-- Which database this is, and how far it has come: one row. The position grows every few seconds while a dispatcher runs, and
-- JetStream is told of it (stream MARKS) before anything is sent. A ledger with a lower position than JetStream knows is a
-- restored backup; one with another id is another database.
create table ledger_mark (
    one         boolean     primary key default true check (one),
    ledger      uuid        not null default gen_random_uuid(),
    position    bigint      not null default 0,
    incarnation text        not null default '', -- ledger_incarnation() when the position was set
    marked_at   timestamptz not null default now()
);
insert into ledger_mark default values;

-- What changes when a database is copied (its oid) or a standby takes over (the timeline). A server that does not tell its
-- timeline has the oid alone.
-- +goose StatementBegin
create function ledger_incarnation() returns text language plpgsql stable as $$
declare
    copy text := (select oid from pg_database where datname = current_database());
begin
    return copy || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
exception when others then
    return copy;
end $$;
-- +goose StatementEnd

-- A time of which this ledger lacks what was sent. A message that may have been sent in it is looked up at Twilio before it is
-- sent. replay has the consumers that were set back and the sequence up to which each must be done before anything is claimed.
create table gap (
    id           bigint generated always as identity primary key,
    began        timestamptz not null,
    ended        timestamptz not null,
    operator     text        not null,
    replay       jsonb       not null,
    recovered_at timestamptz not null default now(),
    replayed_at  timestamptz,
    unique (began, ended)
);

-- The attempts that made no call, but look for one that was made in a gap.
alter table attempt add column gap_id bigint references gap (id);
create index attempt_gap on attempt (message_id) where gap_id is not null;

-- The streams as they were last seen.
create table stream_mark (
    stream     text        primary key,
    created_at timestamptz not null, -- of the stream: it changes when the stream is made anew
    last_seq   bigint      not null,
    last_at    timestamptz, -- when the message of last_seq was stored: another one in its place is of a store that was put back
    seen_at    timestamptz not null default now()
);

-- One row for each time that a stream was found made anew or put back to an earlier time. What was in it since seen_at and
-- not worked on is lost.
create table stream_loss (
    id         bigint generated always as identity primary key,
    stream     text        not null,
    what       text        not null check (what in ('made_anew', 'older')),
    seen_at    timestamptz not null, -- when it was last seen whole
    noticed_at timestamptz not null default now(),
    settled_at timestamptz           -- when an operator said that he has seen to it
);
create index stream_loss_open on stream_loss (id) where settled_at is null;

-- +goose Down
drop table stream_loss, stream_mark;
alter table attempt drop column gap_id;
drop table gap, ledger_mark;
drop function ledger_incarnation;
