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

-- +goose Down
alter table delivery_event drop column window_closed;
alter table conversation drop column window_denied_at;
alter table attempt drop column country, drop column window_at;
