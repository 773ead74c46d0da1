-- Figures that stay as they are when retention or erasure takes the texts, that count what Twilio refused, and add up.
-- +goose Up

-- What an attempt costs by, noted when it is made: segments of its SMS, and its category (see attempt_figure). Null as of attempts
-- from before these columns: then it is taken from the message's content while that is there.
alter table attempt
    add column segments integer,
    add column category text;

drop view failure_figure, delivery_figure, attempt_figure;

-- One row for each attempt that Twilio took (sent) or refused with an error code. Of those taken each is delivered, failed or still
-- open. twice: an earlier attempt of its message was delivered as well. A reply or an opt-out belongs to the newest attempt of its message
-- on its channel, so that it counts once; the evidence of an opt-out is the SID of the reply, or the attempt of which Twilio said it by a
-- code. day is that of UTC. category is what a price goes by: sms, mms; of WhatsApp service (free text
-- in the window), marketing, utility. failed_code and refused_code are null unless it was.
create view attempt_figure as
select a.id as attempt_id, m.id as message_id, m.org, m.rule, m.template, m.language, m.purpose, a.channel, a.sender, a.country,
    a.started_at, (a.started_at at time zone 'UTC')::date as day,
    coalesce(a.category, case
        when a.channel = 'sms' and jsonb_array_length(coalesce(m.content -> 'sms' -> 'media', '[]')) > 0 then 'mms'
        when a.channel = 'sms' then 'sms'
        when a.window_at is not null then 'service'
        when m.purpose = 'marketing' then 'marketing'
        else 'utility'
    end) as category,
    a.sid is not null as sent,
    a.state in ('delivered', 'read') as delivered,
    a.state = 'read' as read,
    a.sid is not null and a.state not in ('delivered', 'read', 'undelivered', 'failed') as open,
    case when a.state in ('undelivered', 'failed') then a.error_code end as failed_code,
    case when a.state = 'refused' then a.error_code end as refused_code,
    a.sid is not null and a.state <> 'failed' as charged,
    case when a.sid is null or a.channel <> 'sms' then 0
        else coalesce(a.segments, (m.content -> 'sms' ->> 'segments')::integer, 0) end as segments,
    a.number > 1 and a.state in ('delivered', 'read') and exists (select 1 from attempt e
        where e.message_id = a.message_id and e.number < a.number and e.state in ('delivered', 'read')) as twice,
    last.one and exists (select 1 from inbound i where i.message_id = a.message_id and i.channel = a.channel) as replied,
    last.one and (
        exists (select 1 from inbound i join consent c on c.address = i.address and c.evidence = i.sid and c.action = 'opt_out'
            where i.message_id = a.message_id and i.channel = a.channel)
        or a.error_code > 0 and exists (select 1 from consent c
            where c.address = a.address and c.action = 'opt_out' and c.evidence in (a.sid, 'attempt ' || a.id))) as opted_out
from attempt a join message m on m.id = a.message_id
    cross join lateral (select m.attempt_id = a.id or not exists (select 1 from attempt n
        where n.message_id = a.message_id and n.channel = a.channel and n.number > a.number
            and (n.sid is not null or n.state = 'refused' and n.error_code > 0)) as one) last
where a.sid is not null or a.state = 'refused' and a.error_code > 0;

-- The figures of a day, and the failures among them by code; refused: Twilio did not take them at all.
create view delivery_figure as
select org, rule, template, language, purpose, channel, sender, day, count(*) filter (where sent) as sent,
    count(*) filter (where delivered) as delivered, count(*) filter (where read) as read, count(failed_code) as failed,
    count(*) filter (where open) as open, count(refused_code) as refused, count(*) filter (where twice) as twice,
    count(*) filter (where replied) as replied, count(*) filter (where opted_out) as opted_out, sum(segments) as segments
from attempt_figure group by org, rule, template, language, purpose, channel, sender, day;

create view failure_figure as
select org, rule, template, language, purpose, channel, sender, day, coalesce(failed_code, refused_code) as error_code,
    failed_code is null as refused, count(*) as failed
from attempt_figure where coalesce(failed_code, refused_code) is not null
group by org, rule, template, language, purpose, channel, sender, day, coalesce(failed_code, refused_code), failed_code is null;

-- Attempts come in the order of time, so that this costs next to nothing, and no write of an attempt has to care.
drop index attempt_started;
create index attempt_age on attempt using brin (started_at);

-- +goose Down
drop index attempt_age;
create index attempt_started on attempt (started_at) where sid is not null;
drop view failure_figure, delivery_figure, attempt_figure;
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

alter table attempt drop column segments, drop column category;
