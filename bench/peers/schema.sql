-- The four tables of a peer. The incidents are there before the first webhook comes.

CREATE TABLE incident (
    id bigint PRIMARY KEY,
    alarm_id text NOT NULL UNIQUE,
    status text NOT NULL DEFAULT 'requested',
    seq integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    alarm_id text NOT NULL,
    name text NOT NULL,
    body jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    applied_at timestamptz
);

CREATE TABLE timeline (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incident,
    event_id bigint NOT NULL UNIQUE REFERENCES event,
    status text NOT NULL,
    entry text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE writeback (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incident,
    seq integer NOT NULL,
    body jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (incident_id, seq)
);
