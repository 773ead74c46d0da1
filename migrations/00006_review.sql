-- Replies that may be opt-outs, and who decided what about them.
-- +goose Up

-- One row for each reply that is probably an opt-out. While decided_at is null, nothing is sent to the address. Inserted and
-- decided under the address lock.
create table review (
    id          bigint      generated always as identity primary key,
    org         text        not null,
    address     text        not null,
    channel     text        not null,              -- that the reply came on
    inbound_sid text        not null unique,
    text        text        not null,              -- of the reply
    pattern     text        not null,              -- the word or pattern that made us ask
    language    text        not null,
    said_at     timestamptz not null,              -- when its stream stored it: the place among the person's words
    seq         bigint      not null,              -- in that stream; breaks a tie of said_at
    created_at  timestamptz not null default now(),
    decide_by   timestamptz not null,              -- then it is decided without a human
    decided_at  timestamptz,
    decided_by  text        not null default '',
    decision    text        not null default '' check (decision in ('', 'opt_out', 'keep')),
    note        text        not null default '',
    check ((decided_at is null) = (decision = ''))
);
create index review_open on review (address) where decided_at is null;
create index review_due on review (decide_by) where decided_at is null;

-- The sequence of the callback that brought an entry: the order of two entries that a stream stored in one microsecond.
alter table consent add column seq bigint not null default 0;
drop index consent_address;
create index consent_address on consent (address, occurred_at desc, seq desc, id desc);

-- +goose Down
drop index consent_address;
alter table consent drop column seq;
create index consent_address on consent (address, occurred_at desc, id desc);
drop table review;
