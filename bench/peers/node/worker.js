// Applies each event to its incident, once. The work waits for Postgres, so many jobs run in one process.

import { Worker } from "bullmq";

import { pool, redis } from "./parts.js";

const AT_ONCE = 16;
const PROGRESS = { requested: 0, authorities_contacted: 1, closed: 2 };
const STATUSES = {
  "alarm.psap_contacted": ["authorities_contacted", "PSAP contacted"],
  "alarm.closed": ["closed", "closed by the dispatcher"],
};

const database = pool(AT_ONCE);

async function apply(job) {
  const client = await database.connect();
  try {
    await client.query("BEGIN");
    await applyOnce(client, job.data.id);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

async function applyOnce(client, id) {
  // Both rows are locked, and read as they are once the lock is held.
  const { rows } = await client.query({
    name: "lock",
    text: `SELECT e.id, e.name, e.occurred_at, e.applied_at, i.id AS incident_id, i.alarm_id, i.status, i.seq
           FROM event e JOIN incident i ON i.alarm_id = e.alarm_id WHERE e.id = $1 FOR UPDATE`,
    values: [id],
  });
  const found = rows[0];
  if (found.applied_at !== null) return;
  const [step, entry] = STATUSES[found.name];
  const status = PROGRESS[step] > PROGRESS[found.status] ? step : found.status;
  const seq = found.seq + 1;
  await client.query({
    name: "move",
    text: "UPDATE incident SET status = $2, seq = $3, updated_at = now() WHERE id = $1",
    values: [found.incident_id, status, seq],
  });
  await client.query({ name: "applied", text: "UPDATE event SET applied_at = now() WHERE id = $1", values: [id] });
  await client.query({
    name: "step",
    text: `INSERT INTO timeline (incident_id, event_id, status, entry, occurred_at) VALUES ($1, $2, $3, $4, $5)`,
    values: [found.incident_id, id, status, entry, found.occurred_at],
  });
  const body = {
    seq,
    incident_id: found.incident_id,
    alarm_id: found.alarm_id,
    event: found.name,
    status,
    entry,
    occurred_at: found.occurred_at.toISOString(),
  };
  await client.query({
    name: "tell",
    text: "INSERT INTO writeback (incident_id, seq, body) VALUES ($1, $2, $3)",
    values: [found.incident_id, seq, body],
  });
}

const worker = new Worker("events", apply, {
  connection: redis({ maxRetriesPerRequest: null }),
  concurrency: AT_ONCE,
});
worker.on("error", (error) => console.error(error.message));
process.on("SIGTERM", async () => {
  await worker.close();
  await database.end();
});
