-- Erasure of what came after erase_person: places of messages, webhooks, and what reply rules saw.
-- +goose Up

-- erase_talk is called before erase_person, in its transaction: it finds a person's replies by the addresses that are erased there.
-- A webhook that was not delivered yet is given up, since its body is what the person wrote.
-- +goose StatementBegin
create function erase_talk(addresses text[]) returns table (place text, changed bigint) language plpgsql as $$
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

-- +goose Down
drop function erase_talk;
