// What the door and the workers both need: the two servers.

import { Redis } from "ioredis";
import pg from "pg";

export function redis(options) {
  return new Redis(process.env.REDIS_URL, options);
}

export function pool(size) {
  return new pg.Pool({ connectionString: process.env.DATABASE_URL, max: size, idleTimeoutMillis: 0 });
}
