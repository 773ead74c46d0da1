-- Several senders: each message belongs to one, each sender has a line of its own on the belt, and may have a rate.
-- +goose Up
alter table message add column sender text not null default 'default';

-- The same on the belt, so that the scheduler looks at one sender's rows without reading those of the others.
alter table belt add column sender text not null default 'default';
create index belt_sender_due on belt (sender, due_at);
drop index belt_due;

-- The rate of a sender that has one, held by all dispatchers together: the generic cell rate algorithm. arrival is the
-- theoretical arrival time: when the segments that were let through so far would have gone at an even pace.
create table sender_rate (
    sender  text        primary key,
    arrival timestamptz not null
) with (fillfactor = 50);

-- +goose Down
drop table sender_rate;
create index belt_due on belt (due_at);
drop index belt_sender_due;
alter table belt drop column sender;
alter table message drop column sender;
