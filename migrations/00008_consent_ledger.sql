-- The consent ledger, whole: programs and brands, express consent and its confirmation, proof, and people with two addresses.
-- +goose Up

-- program names what an entry is about: a program (scope program), a brand (scope brand), or nothing (scope all). Entries from
-- before are about everything, which is what they were taken for.
alter table consent
    add column scope           text not null default 'all' check (scope in ('all', 'brand', 'program')),
    add column program         text not null default '',
    add column purpose         text not null default '' check (purpose in ('', 'marketing', 'transactional')),
    add column disclosure      text not null default '', -- the words that the person agreed to
    add column disclosure_hash text not null default '', -- SHA-256 of them, in hex
    add column source_url      text not null default '', -- where the person agreed
    add column ip              text not null default '', -- from which address of the internet
    add column operator        text not null default '', -- who entered it, when a person did
    add constraint consent_about check ((scope = 'all') = (program = ''));
alter table consent drop constraint consent_action_check;
alter table consent add constraint consent_action_check check (action in ('opt_in', 'confirm', 'opt_out', 're_opt_in', 'erase'));
drop index consent_evidence;
create unique index consent_evidence on consent (address, source, evidence, action, channel, scope, program)
    where evidence <> '' and source <> 'operator';

-- The newest entry of each kind about each thing: all that the state of an address depends on, in any order of arrival. START was
-- written as opt_in before there was a word for it: it lifts an opt-out, and never was consent to marketing.
create view consent_state as
    select distinct on (address, channel, scope, program, action) address, channel, scope, program, action, occurred_at, seq
    from (select address, channel, scope, program, occurred_at, seq,
            case when action = 'opt_in' and source in ('keyword', 'twilio_opt_out') then 're_opt_in' else action end as action
        from consent) c
    order by address, channel, scope, program, action, occurred_at desc, seq desc;

-- Two addresses of one person: a phone number and the business-scoped id that WhatsApp shows in its place (up to 140 characters).
-- Each pair stands here twice, once from either side. Only ever added to.
create table alias (
    address     text        not null check (length(address) <= 140),
    same_as     text        not null check (length(same_as) <= 140),
    source      text        not null, -- webhook, operator
    evidence    text        not null default '',
    recorded_at timestamptz not null default now(),
    primary key (address, same_as)
);

-- +goose StatementBegin
create function same_person(addresses text[]) returns table (asked text, known text) language sql stable as $$
    with recursive people (asked, known) as (
        select a, a from unnest(addresses) a
        union
        select p.asked, l.same_as from people p join alias l on l.address = p.known)
    select * from people
$$;
-- +goose StatementEnd

-- The program that a message belongs to.
alter table message add column program text not null default 'default';

-- People whose data was erased: a keyed hash of each address (HMAC-SHA256) is what is left, so that nothing is sent to it until the
-- person's next word.
create table erased (
    hash      bytea       primary key,
    erased_at timestamptz not null default now()
);
-- The keys that hashes were made with, by a fingerprint. A process that lacks one of them must not send.
create table erasure_key (
    id bytea primary key
);

-- What is only ever added to changes in one case: inside erase_person, which sets this to its transaction.
-- +goose StatementBegin
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op in ('UPDATE', 'DELETE') and current_setting('beckon.erasing', true) = pg_current_xact_id()::text then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    raise exception '% is only ever added to', tg_table_name;
end $$;
-- +goose StatementEnd

-- erase_person takes addresses of one person, the names that stand in their place from now on, and a pattern for each address as
-- people write it. It returns how many rows of each table it changed. The caller holds the locks of the addresses.
-- +goose StatementBegin
create function erase_person(addresses text[], names text[], patterns text[]) returns table (place text, changed bigint) language plpgsql as $$
declare
    about uuid[];
    said_in text[]; -- organisation and id of notifications
    n bigint;
begin
    if exists (select from live_attempt l where l.address = any (addresses)) then
        raise exception 'a call is open or its outcome is unknown' using errcode = 'P0004';
    end if;
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    about := array(select id from message where recipient = any (addresses));
    update record set fields = null where exists (
        select from jsonb_each_text(fields) f, unnest(patterns) p where f.value ~ p);
    get diagnostics n = row_count; place := 'record'; changed := n; return next;
    said_in := array(select org || id from notification where record_id = any (array(
            select record_id from message where id = any (about) and record_id <> ''
            union select record_id from inbound where address = any (addresses) and record_id <> ''))
        union select org || notification_id from message where id = any (about)
        union select org || notification_id from decision where detail::text ~ any (patterns));
    update decision set detail = detail - 'previous' - 'previous_used'
        where org || notification_id = any (said_in) and detail ?| array['previous', 'previous_used'];
    get diagnostics n = row_count; place := 'decision'; changed := n; return next;
    update replayed set detail = detail - 'previous' - 'previous_used'
        where (org || notification_id = any (said_in) or detail::text ~ any (patterns)) and detail ?| array['previous', 'previous_used'];
    get diagnostics n = row_count; place := 'replayed'; changed := n; return next;
    delete from belt where message_id = any (about);
    update message m set recipient = u.name, content = '{}', detail = '', contact_id = '', updated_at = now(),
            state = case state when 'queued' then 'suppressed' else state end,
            reason = case state when 'queued' then 'opted_out' else reason end
        from unnest(addresses, names) u (address, name) where m.recipient = u.address;
    get diagnostics n = row_count; place := 'message'; changed := n; return next;
    update attempt a set address = u.name, detail = '' from unnest(addresses, names) u (address, name) where a.address = u.address;
    get diagnostics n = row_count; place := 'attempt'; changed := n; return next;
    update once_key k set value = u.name from unnest(addresses, names) u (address, name) where k.scope = 'recipient' and k.value = u.address;
    get diagnostics n = row_count; place := 'once_key'; changed := n; return next;
    update conversation c set address = u.name, contact_id = '' from unnest(addresses, names) u (address, name) where c.address = u.address;
    get diagnostics n = row_count; place := 'conversation'; changed := n; return next;
    update inbound i set address = u.name, body = '', media = '[]', button = ''
        from unnest(addresses, names) u (address, name) where i.address = u.address;
    get diagnostics n = row_count; place := 'inbound'; changed := n; return next;
    update review r set address = u.name, text = '', note = '', decided_at = coalesce(decided_at, now()),
            decision = case decision when '' then 'opt_out' else decision end, decided_by = case decision when '' then 'erasure' else decided_by end
        from unnest(addresses, names) u (address, name) where r.address = u.address;
    get diagnostics n = row_count; place := 'review'; changed := n; return next;
    update consent c set address = u.name, note = '', ip = '', source_url = ''
        from unnest(addresses, names) u (address, name) where c.address = u.address;
    get diagnostics n = row_count; place := 'consent'; changed := n; return next;
    delete from alias where address = any (addresses) or same_as = any (addresses);
    get diagnostics n = row_count; place := 'alias'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd

-- For retention: what is old and still has content. Rows come in the order of time, so that these cost next to nothing.
create index message_age on message using brin (created_at);
create index inbound_age on inbound using brin (received_at);
create index decision_age on decision using brin (decided_at);

-- +goose Down
drop index decision_age, inbound_age, message_age;
drop function erase_person;
-- +goose StatementBegin
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is only ever added to', tg_table_name;
end $$;
-- +goose StatementEnd
drop table erasure_key, erased;
alter table message drop column program;
drop function same_person;
drop table alias;
drop view consent_state;
alter table consent disable trigger consent_append_only;
delete from consent where action = 'erase';
update consent set action = 'opt_in' where action in ('confirm', 're_opt_in');
drop index consent_evidence;
-- What was about one program only can't be told without the column: an opt-in of it goes, an opt-out is from everything.
delete from consent where scope <> 'all' and action <> 'opt_out';
delete from consent c using consent o where c.address = o.address and c.source = o.source and c.evidence = o.evidence and c.action = o.action
    and c.evidence <> '' and c.source <> 'operator' and c.id > o.id;
alter table consent enable trigger consent_append_only;
alter table consent drop constraint consent_action_check;
alter table consent add constraint consent_action_check check (action in ('opt_in', 'opt_out'));
create unique index consent_evidence on consent (address, source, evidence, action) where evidence <> '' and source <> 'operator';
alter table consent drop constraint consent_about, drop column scope, drop column program, drop column purpose,
    drop column disclosure, drop column disclosure_hash, drop column source_url, drop column ip, drop column operator;
