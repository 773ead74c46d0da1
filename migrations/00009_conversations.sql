-- Two ways: messages that come of no notification, conversations that people work on, reply rules.
-- +goose Up

-- What a message comes of. A message of a rule belongs to a notification; the others have no notification, and a key instead: the
-- id of what they come of, so that it makes one message however often it is tried. The key of compliance is the SID of the STOP or
-- HELP that it answers.
alter table message
    add column origin     text not null default 'rule'
        check (origin in ('rule', 'human', 'reply_rule', 'compliance', 'console')),
    add column origin_key text not null default '',
    add constraint message_origin check ((origin = 'rule') = (notification_id <> '') and (origin = 'rule') = (origin_key = ''));
alter table message drop constraint message_once;
alter table message add constraint message_once unique (notification_id, rule, recipient, org, salt, origin, origin_key);
create unique index message_origin_once on message (origin, origin_key) where origin <> 'rule';

-- What people do with a conversation. While paused_until lies ahead, no reply rule answers in it.
alter table conversation
    add column state        text        not null default 'open' check (state in ('open', 'closed')),
    add column assigned_to  text        not null default '',
    add column paused_until timestamptz,
    add column marked_at    timestamptz,                       -- since when it waits for a human
    add column marked_by    text        not null default ''; -- the reply rule that asked for one
create index conversation_newest on conversation (last_inbound_at desc);

-- +goose Down
drop index conversation_newest;
alter table conversation drop column state, drop column assigned_to, drop column paused_until, drop column marked_at,
    drop column marked_by;
drop index message_origin_once;
delete from live_attempt l using attempt a, message m where l.attempt_id = a.id and m.id = a.message_id and m.origin <> 'rule';
delete from attempt a using message m where m.id = a.message_id and m.origin <> 'rule';
delete from belt b using message m where m.id = b.message_id and m.origin <> 'rule';
delete from message where origin <> 'rule';
alter table message drop constraint message_once;
alter table message drop constraint message_origin;
alter table message drop column origin, drop column origin_key;
alter table message add constraint message_once unique (notification_id, rule, recipient, org, salt);
