-- Retention finds the webhooks of questions without an answer without reading all the others.
-- +goose Up
create index webhook_timed_out on webhook (created_at) where sid like 'timeout/%' and body <> '';

-- +goose Down
drop index webhook_timed_out;
