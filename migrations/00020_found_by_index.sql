-- What is asked of one person, or shown on a page, is found by an index, however much there is of it.
-- +goose Up

-- Attempts to one person since a time: for caps of a person, the message that a reply answers, exports. It takes the place of one that
-- began with the sender, which those who ask for a person do not know.
create index attempt_person on attempt (address, started_at);
drop index attempt_address;

-- The newest messages to one person, or those of an hour: what a conversation shows, how many answers a machine got.
create index message_person on message (recipient, created_at);
drop index message_recipient;
create index message_human on message (recipient, created_at) where origin = 'human';

-- Conversations in the order of the listings, whose pages begin after a place in it.
create index conversation_listed on conversation (last_inbound_at desc, id desc);
drop index conversation_newest;

-- What waits for a human and what somebody has taken on is little among all that was ever said.
create index conversation_marked on conversation (last_inbound_at desc, id desc) where marked_at is not null;
create index conversation_assigned on conversation (assigned_to, last_inbound_at desc, id desc) where assigned_to <> '';

-- +goose Down
drop index conversation_assigned, conversation_marked;
create index conversation_newest on conversation (last_inbound_at desc);
drop index conversation_listed;
create index message_recipient on message (recipient);
drop index message_human, message_person;
create index attempt_address on attempt (sender, channel, address, started_at);
drop index attempt_person;
