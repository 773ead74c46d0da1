-- When a message may go by the clock of its recipient, and how many.
-- +goose Up

-- What the rule says of quiet hours, and where the record says the recipient is: {"wish", "zone", "country", "state", "postal"}.
-- Null: the rule ignores quiet hours, and the recipient's place is nobody's business.
alter table message add column hours jsonb;

-- The caps that hold for it, as the rule files had them when it was made. Null: none.
alter table message add column caps jsonb;

-- What the caps of wider scopes than a person have counted, in buckets. Changed under an advisory lock for (name, key) only.
create table cap_count (
    name     text        not null,
    key      text        not null,
    ends_at  timestamptz not null,
    messages integer     not null,
    segments integer     not null,
    primary key (name, key, ends_at)
) with (fillfactor = 50);

-- +goose Down
drop table cap_count;
alter table message drop column caps, drop column hours;
