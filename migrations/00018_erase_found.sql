-- Erasure reads no table whole while it holds a person's locks, since their replies, and all sending after these, wait for them.
-- +goose Up

create index question_conversation on question (conversation_id);

-- +goose StatementBegin
create or replace function erase_talk(addresses text[]) returns table (place text, changed bigint) language plpgsql as $$
declare
    talks uuid[] := array(select id from conversation where address = any (addresses));
    said text[] := array(select sid from inbound where conversation_id = any (talks));
    n bigint;
begin
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    update message set hours = null where recipient = any (addresses) and hours is not null;
    get diagnostics n = row_count; place := 'message.hours'; changed := n; return next;
    update webhook set body = '', error = case state when 'queued' then 'erased' else '' end,
            state = case state when 'queued' then 'failed' else state end, updated_at = now()
        where sid = any (said);
    get diagnostics n = row_count; place := 'webhook'; changed := n; return next;
    update reply_decision set detail = '{}' where sid = any (said);
    get diagnostics n = row_count; place := 'reply_decision'; changed := n; return next;
    update question set answer = '' where conversation_id = any (talks);
    get diagnostics n = row_count; place := 'question'; changed := n; return next;
    delete from reply_task where sid = any (said);
    get diagnostics n = row_count; place := 'reply_task'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd

-- erase_person takes addresses of one person, the names that stand in their place from now on, a pattern for each address as people
-- write it, and what was found of them without any lock where no index leads: a list of {place, org, id, part} with the places record,
-- notification, once_key (id is the rule, part the address) and review. It finds the rest by indexes. It returns how many rows of
-- each table it changed. The caller holds the locks of the addresses.
drop function erase_person;
-- +goose StatementBegin
create function erase_person(addresses text[], names text[], patterns text[], spots jsonb) returns table (place text, changed bigint) language plpgsql as $$
declare
    about uuid[] := array(select id from message where recipient = any (addresses));
    talks uuid[] := array(select id from conversation where address = any (addresses));
    said text[] := array(select sid from inbound where conversation_id = any (talks));
    records text[] := array(select record_id from message where id = any (about) and record_id <> ''
        union select record_id from inbound where sid = any (said) and record_id <> '');
    reviews bigint[];
    orgs text[]; -- of notifications, with notes: their ids
    notes text[];
    n bigint;
begin
    if exists (select from live_attempt l where l.address = any (addresses)) then
        raise exception 'a call is open or its outcome is unknown' using errcode = 'P0004';
    end if;
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    update record r set fields = null from jsonb_to_recordset(spots) f (place text, org text, id text)
        where f.place = 'record' and r.org = f.org and r.id = f.id and exists (
            select from jsonb_each_text(r.fields) v, unnest(patterns) p where v.value ~ p);
    get diagnostics n = row_count; place := 'record'; changed := n; return next;
    select coalesce(array_agg(t.org), '{}'), coalesce(array_agg(t.id), '{}') into orgs, notes from (
        select org, id from notification where record_id = any (records)
        union select org, notification_id from message where id = any (about)
        union select f.org, f.id from jsonb_to_recordset(spots) f (place text, org text, id text) where f.place = 'notification') t;
    update decision d set detail = detail - 'previous' - 'previous_used' from unnest(orgs, notes) u (org, id)
        where d.org = u.org and d.notification_id = u.id and d.detail ?| array['previous', 'previous_used'];
    get diagnostics n = row_count; place := 'decision'; changed := n; return next;
    update replayed r set detail = detail - 'previous' - 'previous_used' from unnest(orgs, notes) u (org, id)
        where r.org = u.org and r.notification_id = u.id and r.detail ?| array['previous', 'previous_used'];
    get diagnostics n = row_count; place := 'replayed'; changed := n; return next;
    update once_key k set value = u.name
        from (select org, rule, recipient from message where id = any (about)
            union select f.org, f.id, f.part from jsonb_to_recordset(spots) f (place text, org text, id text, part text) where f.place = 'once_key') t
            join unnest(addresses, names) u (address, name) on u.address = t.recipient
        where k.org = t.org and k.rule = t.rule and k.scope = 'recipient' and k.value = t.recipient;
    get diagnostics n = row_count; place := 'once_key'; changed := n; return next;
    delete from belt where message_id = any (about);
    update message m set recipient = u.name, content = '{}', detail = '', contact_id = '', updated_at = now(),
            state = case state when 'queued' then 'suppressed' else state end,
            reason = case state when 'queued' then 'opted_out' else reason end
        from unnest(addresses, names) u (address, name) where m.recipient = u.address;
    get diagnostics n = row_count; place := 'message'; changed := n; return next;
    update attempt a set address = u.name, detail = '' from unnest(addresses, names) u (address, name)
        where a.message_id = any (about) and a.address = u.address;
    get diagnostics n = row_count; place := 'attempt'; changed := n; return next;
    update conversation c set address = u.name, contact_id = '' from unnest(addresses, names) u (address, name) where c.address = u.address;
    get diagnostics n = row_count; place := 'conversation'; changed := n; return next;
    update inbound i set address = u.name, body = '', media = '[]', button = ''
        from unnest(addresses, names) u (address, name) where i.sid = any (said) and i.address = u.address;
    get diagnostics n = row_count; place := 'inbound'; changed := n; return next;
    reviews := array(select id from review where address = any (addresses) and decided_at is null
        union select id from review where inbound_sid = any (said)
        union select f.id::bigint from jsonb_to_recordset(spots) f (place text, id text) where f.place = 'review');
    update review r set address = u.name, text = '', note = '', decided_at = coalesce(decided_at, now()),
            decision = case decision when '' then 'opt_out' else decision end, decided_by = case decision when '' then 'erasure' else decided_by end
        from unnest(addresses, names) u (address, name) where r.id = any (reviews) and r.address = u.address;
    get diagnostics n = row_count; place := 'review'; changed := n; return next;
    update consent c set address = u.name, note = '', ip = '', source_url = ''
        from unnest(addresses, names) u (address, name) where c.address = u.address;
    get diagnostics n = row_count; place := 'consent'; changed := n; return next;
    delete from alias where (address, same_as) in (select address, same_as from alias where address = any (addresses)
        union select same_as, address from alias where address = any (addresses));
    get diagnostics n = row_count; place := 'alias'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd

-- +goose Down
drop function erase_person;
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
-- +goose StatementBegin
create or replace function erase_talk(addresses text[]) returns table (place text, changed bigint) language plpgsql as $$
declare
    said text[] := array(select sid from inbound where address = any (addresses));
    n bigint;
begin
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    update message set hours = null where recipient = any (addresses) and hours is not null;
    get diagnostics n = row_count; place := 'message.hours'; changed := n; return next;
    update webhook set body = '', error = case state when 'queued' then 'erased' else '' end,
            state = case state when 'queued' then 'failed' else state end, updated_at = now()
        where sid = any (said);
    get diagnostics n = row_count; place := 'webhook'; changed := n; return next;
    update reply_decision set detail = '{}' where sid = any (said);
    get diagnostics n = row_count; place := 'reply_decision'; changed := n; return next;
    update question set answer = '' where answered_by = any (said) or asked_by = any (said);
    get diagnostics n = row_count; place := 'question'; changed := n; return next;
    delete from reply_task where sid = any (said);
    get diagnostics n = row_count; place := 'reply_task'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd
drop index question_conversation;
