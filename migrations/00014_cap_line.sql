-- A place in the line of a cap: what a full cap defers comes back one after the other, at the pace at which the cap lets through.
-- +goose Up

-- When the next message that a full cap of a wider scope than a person defers comes back. Changed under the same advisory lock as
-- cap_count. One row for each counter that was ever full.
create table cap_line (
    name    text        not null,
    key     text        not null,
    next_at timestamptz not null,
    primary key (name, key)
) with (fillfactor = 50);

-- +goose Down
drop table cap_line;
