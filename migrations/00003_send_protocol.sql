-- The send protocol, completed: validity, later retries, order by age, polls, marks of what was listed, the audit trail.
-- +goose Up

-- A message may be sent until coalesce(permitted_at, not_before) + expires_after.
alter table message
    add column expires_after interval not null default '4 hours', -- as the rule says
    add column permitted_at timestamptz; -- the first moment at which sending was permitted; null while it never was judged so
-- Without an attempt nothing can have been sent.
alter table message add constraint message_needs_attempt
    check (attempt_id is not null or state in ('queued', 'suppressed', 'failed', 'expired'));

-- Who each queued message goes to, so that a claim finds the older ones to the same person. Ids are in the order of age.
alter table belt add column recipient text;
update belt b set recipient = m.recipient from message m where m.id = b.message_id;
alter table belt alter column recipient set not null;
create index belt_recipient on belt (recipient, message_id);

-- What the table of reactions said of a failure that may be tried again: after which wait, how often at most, and whether the
-- wait doubles from try to try. again is 0 when it may not.
alter table delivery_event
    add column again   interval not null default '0',
    add column retries integer  not null default 0,
    add column doubles boolean  not null default false;

-- Attempts that stay short of a final state for long, and when Twilio is asked next. An index on the attempts themselves would
-- be touched by each change of their state; so the poller walks over them by id, which is in the order of time, once.
create table poll (
    attempt_id uuid        primary key,
    due_at     timestamptz not null
);
create index poll_due on poll (due_at);

-- How far a job that runs in one process at a time has come, and when it is due next.
create table mark (
    name    text        primary key,
    at      timestamptz not null,
    next_at timestamptz not null default now()
);

-- What operators did by hand. Only ever added to.
create table audit (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    operator text        not null,
    action   text        not null,
    subject  text        not null,
    detail   jsonb       not null default '{}'
);
create index audit_subject on audit (subject);
create trigger audit_append_only before update or delete on audit for each row execute function refuse_change();
create trigger audit_no_truncate before truncate on audit execute function refuse_change();

-- A delivery proves more than a failure: it may follow one.
-- +goose StatementBegin
create or replace function state_rank(state text) returns integer language sql immutable parallel safe as $$
    select case state
        when 'queued' then 0 when 'sending' then 1 when 'unknown' then 2 when 'accepted' then 3 when 'sent' then 4
        when 'undelivered' then 5 when 'failed' then 5 when 'delivered' then 6 when 'read' then 7
        else 8 end
$$;
-- +goose StatementEnd
-- An attempt that Twilio never had (absent, canceled, refused) comes from one whose outcome was open. A late callback may prove
-- that an attempt thought absent did reach Twilio: the one way out of absent, and it leads to what Twilio says.
drop trigger attempt_forward_only on attempt;
create trigger attempt_forward_only before update of state on attempt for each row
    when (new.state <> old.state and not case
        when old.state = 'absent' then state_rank(new.state) between state_rank('accepted') and state_rank('read')
        when new.state in ('absent', 'canceled', 'refused') then old.state in ('sending', 'unknown')
        else state_rank(new.state) > state_rank(old.state) end)
    execute function refuse_backward();

-- A message leaves a final state for one that an attempt of it is in, or to be queued again when its newest attempt has failed
-- and none is open or arrived. The other transitions are the usual ones and cost nothing here.
-- +goose StatementBegin
create function refuse_unjustified() returns trigger language plpgsql as $$
begin
    if new.state = 'queued' then
        if exists (select 1 from attempt a where a.id = new.attempt_id
                and a.state in ('undelivered', 'failed', 'refused', 'absent', 'canceled'))
            and not exists (select 1 from attempt a where a.message_id = new.id
                and a.state in ('sending', 'unknown', 'accepted', 'sent', 'delivered', 'read')) then
            return new;
        end if;
    elsif exists (select 1 from attempt a where a.message_id = new.id and a.state = new.state) then
        return new;
    end if;
    raise exception 'message % can not go from % to %: no attempt says so', old.id, old.state, new.state;
end $$;
-- +goose StatementEnd
create trigger message_final before update of state on message for each row
    when (new.state <> old.state and old.state in ('delivered', 'read', 'undelivered', 'failed', 'suppressed', 'expired'))
    execute function refuse_unjustified();

-- +goose Down
drop trigger message_final on message;
drop function refuse_unjustified;
drop trigger attempt_forward_only on attempt;
-- +goose StatementBegin
create or replace function state_rank(state text) returns integer language sql immutable parallel safe as $$
    select case state
        when 'queued' then 0 when 'sending' then 1 when 'unknown' then 2 when 'accepted' then 3 when 'sent' then 4
        when 'undelivered' then 5 when 'failed' then 5 when 'delivered' then 5 when 'read' then 6
        else 7 end
$$;
-- +goose StatementEnd
create trigger attempt_forward_only before update of state on attempt for each row
    when (new.state <> old.state and state_rank(new.state) <= state_rank(old.state) and old.state <> 'absent') execute function refuse_backward();
drop table audit;
drop table mark, poll;
alter table delivery_event drop column again, drop column retries, drop column doubles;
drop index belt_recipient;
alter table belt drop column recipient;
alter table message drop constraint message_needs_attempt;
alter table message drop column expires_after, drop column permitted_at;
