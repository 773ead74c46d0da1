-- When a message may go by the clock of its recipient.
-- +goose Up

-- What the rule says of quiet hours, and where the record says the recipient is: {"wish", "zone", "country", "state", "postal"}.
-- Null: the rule ignores quiet hours, and the recipient's place is nobody's business.
alter table message add column hours jsonb;

-- +goose Down
alter table message drop column hours;
