-- Mail of projects without SMTP: the console's inbox. Bounded per project by the writer.

CREATE TABLE platform.inbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id  uuid NOT NULL REFERENCES platform.projects ON DELETE CASCADE,
    recipient   text NOT NULL,
    subject     text NOT NULL,
    html        text NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX inbox_newest ON platform.inbox (project_id, id DESC);
