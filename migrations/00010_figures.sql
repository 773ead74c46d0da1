-- What WhatsApp's window was when free text went out, and what becomes figures: the country of each attempt, and views.
-- +goose Up

-- window_at is the person's message on whose window an attempt with free text relied; null for templates and SMS. country is that
-- of the address, ISO 3166-1; empty when it is not known, as of attempts from before this column.
alter table attempt
    add column window_at timestamptz,
    add column country   text not null default '';

-- The newest of the person's messages whose window WhatsApp has denied (63016): the window is open only after a newer one.
alter table conversation add column window_denied_at timestamptz;

-- A failure that says that the window is closed: the message may go again as its template.
alter table delivery_event add column window_closed boolean not null default false;

-- One row for each attempt that Twilio took. A reply or an opt-out belongs to the newest one of its message on its channel, so that
-- it counts once. day is that of UTC. category is what a price goes by: sms, mms; of WhatsApp service (free text in the window),
-- marketing, utility. failed_code is null unless it failed.
create view attempt_figure as
select a.id as attempt_id, m.id as message_id, m.org, m.rule, m.template, m.language, m.purpose, a.channel, a.sender, a.country,
    a.started_at, (a.started_at at time zone 'UTC')::date as day,
    case
        when a.channel = 'sms' and jsonb_array_length(coalesce(m.content -> 'sms' -> 'media', '[]')) > 0 then 'mms'
        when a.channel = 'sms' then 'sms'
        when a.window_at is not null then 'service'
        when m.purpose = 'marketing' then 'marketing'
        else 'utility'
    end as category,
    a.state in ('delivered', 'read') as delivered,
    a.state = 'read' as read,
    case when a.state in ('undelivered', 'failed') then a.error_code end as failed_code,
    a.state <> 'failed' as charged,
    case when a.channel = 'sms' then coalesce((m.content -> 'sms' ->> 'segments')::integer, 0) else 0 end as segments,
    last.one and exists (select 1 from inbound i where i.message_id = m.id and i.channel = a.channel) as replied,
    last.one and exists (select 1 from consent c where c.address = a.address and c.action = 'opt_out'
        and (c.evidence in (select o.sid from attempt o where o.message_id = m.id and o.channel = a.channel)
            or c.evidence in (select i.sid from inbound i where i.message_id = m.id and i.channel = a.channel))) as opted_out
from attempt a join message m on m.id = a.message_id
    cross join lateral (select not exists (select 1 from attempt n
        where n.message_id = a.message_id and n.channel = a.channel and n.number > a.number and n.sid is not null) as one) last
where a.sid is not null;

-- The figures of a day, and the failures among them by code.
create view delivery_figure as
select org, rule, template, language, purpose, channel, sender, day, count(*) as sent, count(*) filter (where delivered) as delivered,
    count(*) filter (where read) as read, count(failed_code) as failed, count(*) filter (where replied) as replied,
    count(*) filter (where opted_out) as opted_out, sum(segments) as segments
from attempt_figure group by org, rule, template, language, purpose, channel, sender, day;

create view failure_figure as
select org, rule, template, language, purpose, channel, sender, day, failed_code as error_code, count(*) as failed
from attempt_figure where failed_code is not null
group by org, rule, template, language, purpose, channel, sender, day, failed_code;

create index attempt_started on attempt (started_at) where sid is not null;

-- +goose Down
drop index attempt_started;
drop view failure_figure, delivery_figure, attempt_figure;
alter table delivery_event drop column window_closed;
alter table conversation drop column window_denied_at;
alter table attempt drop column country, drop column window_at;
