// The hook: verify, store, commit, then a job for each new event. One process per core, as Express advises.

import cluster from "node:cluster";
import { createHmac, timingSafeEqual } from "node:crypto";

import { Queue } from "bullmq";
import express from "express";

import { pool, redis } from "./parts.js";

const PROCESSES = 2;

if (cluster.isPrimary) {
  for (let number = 0; number < PROCESSES; number++) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  serve();
}

function serve() {
  const database = pool(8);
  const queue = new Queue("events", {
    connection: redis({ maxRetriesPerRequest: 1 }),
    defaultJobOptions: {
      attempts: 10,
      backoff: { type: "exponential", delay: 100 },
      removeOnComplete: true,
      removeOnFail: false,
    },
  });
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.post("/webhooks", express.raw({ type: "*/*", limit: "256kb" }), async (request, response) => {
    if (!isAuthentic(request.body, request.get("X-Noonlight-Signature") ?? "")) {
      response.status(401).end();
      return;
    }
    const stored = [];
    for (const event of JSON.parse(request.body)) {
      // One statement is its own transaction.
      const { rows } = await database.query({
        name: "store",
        text: `INSERT INTO event (event_id, alarm_id, name, body, occurred_at) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (event_id) DO NOTHING RETURNING id`,
        values: [event.event_id, event.meta.alarm_id, event.event_type, event, event.event_time],
      });
      stored.push(...rows);
    }
    await Promise.all(stored.map((row) => queue.add("apply", { id: row.id })));
    response.status(204).end();
  });
  app.listen(Number(process.env.PORT), "127.0.0.1");
}

function isAuthentic(raw, signature) {
  const wanted = createHmac("sha256", process.env.WEBHOOK_SECRET).update(raw).digest();
  const given = Buffer.from(signature, "base64");
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
