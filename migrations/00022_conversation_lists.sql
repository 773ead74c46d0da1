-- Listings of conversations read no more of them than they show, whoever asks for which.
-- +goose Up

-- In the order of the listings, whose pages begin after a place in it.
create index conversation_listed on conversation (last_inbound_at desc, id desc);
drop index conversation_newest;

-- What waits for a human and what somebody has taken on is little among all that was ever said.
create index conversation_marked on conversation (last_inbound_at desc, id desc) where marked_at is not null;
create index conversation_assigned on conversation (assigned_to, last_inbound_at desc, id desc) where assigned_to <> '';

-- +goose Down
drop index conversation_assigned, conversation_marked;
create index conversation_newest on conversation (last_inbound_at desc);
drop index conversation_listed;
