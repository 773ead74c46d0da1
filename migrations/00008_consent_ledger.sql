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

-- +goose Down
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
