-- The question of the double opt-in, and what an erasure left.
-- +goose Up

-- One row for each opt-in that the person is to be asked about. due: nobody has decided yet whether to ask. asked: the message exists,
-- and is the only one there will ever be. dropped: nobody is asked; reason says why. The address is that of the entry, so that an
-- erasure need not look here.
create table opt_in_question (
    consent_id bigint      primary key, -- the opt-in
    language   text        not null default '', -- to ask in; empty: that of the newest message to the person
    state      text        not null default 'due' check (state in ('due', 'asked', 'dropped')),
    reason     text        not null default '',
    message_id uuid,
    created_at timestamptz not null default now(),
    decided_at timestamptz,
    check ((state = 'due') = (decided_at is null)),
    check ((state = 'asked') = (message_id is not null)),
    check ((state = 'dropped') = (reason <> ''))
);
create index opt_in_question_due on opt_in_question (consent_id) where state = 'due';
create unique index opt_in_question_message on opt_in_question (message_id) where message_id is not null;

alter table message drop constraint message_origin_check;
alter table message add constraint message_origin_check
    check (origin in ('rule', 'human', 'reply_rule', 'compliance', 'console', 'double_opt_in'));

-- erase_proof is called before erase_person, in its transaction. The evidence of an imported entry ends in a hash of its row, from
-- which a number can be found by trying all; that of an entry by the API is the caller's own name for it.
-- +goose StatementBegin
create function erase_proof(addresses text[]) returns table (place text, changed bigint) language plpgsql as $$
declare
    n bigint;
begin
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    update consent set evidence = '' where address = any (addresses) and source in ('import', 'api');
    get diagnostics n = row_count; place := 'consent.evidence'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd

-- For the count of opt-outs, which looks at what was learned since it last did.
create index consent_age on consent using brin (recorded_at);

-- retain_replayed takes the previous values out of decisions that replays made and that are older than keep, of at most most rows.
-- +goose StatementBegin
create function retain_replayed(keep interval, most integer) returns bigint language plpgsql as $$
declare
    n bigint;
begin
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    with old as materialized (select ctid from replayed where decided_at < now() - keep and detail ?| array['previous', 'previous_used']
            limit most for update skip locked)
    update replayed t set detail = detail - 'previous' - 'previous_used' from old where t.ctid = old.ctid;
    get diagnostics n = row_count;
    perform set_config('beckon.erasing', '', true);
    return n;
end $$;
-- +goose StatementEnd

-- +goose Down
drop function retain_replayed;
drop index consent_age;
drop function erase_proof;
drop table opt_in_question;
delete from live_attempt l using attempt a, message m where l.attempt_id = a.id and m.id = a.message_id and m.origin = 'double_opt_in';
delete from attempt a using message m where m.id = a.message_id and m.origin = 'double_opt_in';
delete from belt b using message m where m.id = b.message_id and m.origin = 'double_opt_in';
delete from message where origin = 'double_opt_in';
alter table message drop constraint message_origin_check;
alter table message add constraint message_origin_check check (origin in ('rule', 'human', 'reply_rule', 'compliance', 'console'));
