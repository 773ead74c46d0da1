-- Indexes for what is done every few seconds, and for retention.
-- +goose Up

-- Retention finds the webhooks of questions without an answer without reading all the others.
create index webhook_timed_out on webhook (created_at) where sid like 'timeout/%' and body <> '';

-- Such an index knows nothing of new pages until a vacuum, and then each look reads all of these: that at new opt-outs comes every 20 s.
alter index consent_age set (autosummarize = on);
alter index attempt_age set (autosummarize = on);
alter index message_age set (autosummarize = on);
alter index inbound_age set (autosummarize = on);
alter index decision_age set (autosummarize = on);

-- +goose Down
alter index decision_age reset (autosummarize);
alter index inbound_age reset (autosummarize);
alter index message_age reset (autosummarize);
alter index attempt_age reset (autosummarize);
alter index consent_age reset (autosummarize);
drop index webhook_timed_out;
