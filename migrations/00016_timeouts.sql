-- Questions without an answer: what happens then is decided once, like a reply. Webhooks know their host, for bounds of each host.
-- +goose Up

-- taken_over: a human answered in the conversation; closed: it was closed, or the person was erased.
alter table question drop constraint question_state_check;
alter table question add constraint question_state_check
    check (state in ('open', 'answered', 'replaced', 'timed_out', 'taken_over', 'closed'));
alter table question
    add column asked    integer     not null default 1, -- how often it was asked without an answer, with this time
    add column tries    integer     not null default 0, -- to decide about its time-out, in vain
    add column retry_at timestamptz;                    -- not before this time

comment on column reply_decision.sid is 'the SID of the reply, or timeout/ and the id of the question';
comment on column webhook.sid is 'the SID of the reply, or timeout/ and the id of the question';
comment on column question.asked_by is 'the SID of the reply that made us ask, or timeout/ and the id of the question before it';

alter table webhook add column host text not null
    generated always as (lower(coalesce(substring(url from '^[A-Za-z]+://([^/?#]*)'), ''))) stored;

-- erase_questions is called before erase_talk and erase_person, in their transaction: a question that is open is closed, so that
-- nobody is written to, and what came of questions without an answer loses its content.
-- +goose StatementBegin
create function erase_questions(addresses text[]) returns table (place text, changed bigint) language plpgsql as $$
declare
    ids bigint[] := array(select q.id from question q join conversation c on c.id = q.conversation_id where c.address = any (addresses));
    n bigint;
begin
    perform set_config('beckon.erasing', pg_current_xact_id()::text, true);
    update question set state = 'closed' where id = any (ids) and state = 'open';
    get diagnostics n = row_count; place := 'question'; changed := n; return next;
    update webhook w set body = '', error = case w.state when 'queued' then 'erased' else '' end,
            state = case w.state when 'queued' then 'failed' else w.state end, updated_at = now()
        from unnest(ids) u (question) where w.sid = 'timeout/' || u.question;
    get diagnostics n = row_count; place := 'webhook'; changed := n; return next;
    update reply_decision d set detail = '{}' from unnest(ids) u (question) where d.sid = 'timeout/' || u.question;
    get diagnostics n = row_count; place := 'reply_decision'; changed := n; return next;
    perform set_config('beckon.erasing', '', true);
end $$;
-- +goose StatementEnd

-- +goose Down
drop function erase_questions;
alter table webhook drop column host;
comment on column question.asked_by is null;
comment on column webhook.sid is null;
comment on column reply_decision.sid is null;
alter table question drop column asked, drop column tries, drop column retry_at;
update question set state = 'replaced' where state in ('taken_over', 'closed');
alter table question drop constraint question_state_check;
alter table question add constraint question_state_check check (state in ('open', 'answered', 'replaced', 'timed_out'));
