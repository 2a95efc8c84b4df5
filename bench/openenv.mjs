/**
 * @file Episodes against servers of others that speak OpenEnv, and what they leave behind.
 *
 *   npm run build
 *   node bench/openenv.mjs <python> <folder with OpenEnv's envs/> [episodes]
 *
 * Starts each server, plays episodes with actions drawn at random, and prints a line for each server.
 */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { openSession } from "../dist/index.js";
import { pick, randomFor } from "../dist/random.js";

const [python, source, count = "100"] = process.argv.slice(2);
const random = randomFor("bench");

/** Of each server, by the name of its folder, an action for what was observed. */
const servers = {
  echo_env: () => ({ type: "call_tool", tool_name: "echo_message", arguments: { message: word() } }),
  connect4_env: ({ legal_actions: legal }) => ({ column: legal?.length ? pick(random, legal) : 0 }),
  maze_env: ({ legal_actions: legal }) => ({ action: legal?.length ? pick(random, legal) : 0 }),
  grid_world_env: () => ({ action: pick(random, ["UP", "DOWN", "LEFT", "RIGHT"]) }),
  reasoning_gym_env: () => ({ answer: word() }),
  coding_env: () => ({ code: `x = ${Math.floor(random() * 9)}\nprint(x * x)` }),
  atari_env: ({ legal_actions: legal }) => ({ action_id: legal?.length ? pick(random, legal) : 0 }),
  textarena_env: () => ({ message: `[${word()}]` }),
  wildfire_env: () => ({ action: pick(random, ["break", "water", "wait"]), x: 3, y: 4 }),
  dm_control_env: () => ({ values: [2 * random() - 1] }),
  repl_env: () => ({ code: `print(${Math.floor(random() * 9)})` }),
  snake_env: () => ({ action: Math.floor(random() * 3) }),
  git_env: () => ({ action_type: "list_repos" }),
  chess_env: ({ legal_moves: legal }) => ({ move: legal?.length ? pick(random, legal) : "e2e4" }),
};
/** Turns at most. The opponent at chess thinks for a while. */
const TURNS = { chess_env: 2 };
const word = () => pick(random, ["crane", "slate", "42", "audio", "house"]);

for (const [name, action] of Object.entries(servers)) {
  if (process.env.ONLY && !process.env.ONLY.split(",").includes(name)) continue;
  const port = await freePort();
  const args = [
    "-m",
    "uvicorn",
    `envs.${name}.server.app:app`,
    "--port",
    String(port),
    "--log-level",
    "error",
  ];
  const server = spawn(python, args, {
    ...{ cwd: source, stdio: ["ignore", "ignore", "pipe"] },
    env: {
      ...process.env,
      PYTHONPATH: [source, `${source}/envs`, `${source}/envs/${name}`].join(":"),
      TEXTARENA_ENV_ID: "GuessTheNumber-v0",
      MUJOCO_GL: "disable",
    },
  });
  let said = "";
  server.stderr.on("data", (some) => {
    said += some;
  });
  try {
    await ready(port, server);
    console.log(
      JSON.stringify({
        name,
        ...(await play(`ws://127.0.0.1:${port}`, action, server.pid, TURNS[name] ?? 20)),
      }),
    );
  } catch (error) {
    const last = said.trim().split("\n").at(-1);
    console.log(JSON.stringify({ name, failed: error.message, ...(last && { said: last.slice(0, 200) }) }));
  }
  server.kill();
  if (server.exitCode === null) await once(server, "exit");
}

/** Plays: a session for each ten episodes, so that sessions come and go as well. */
async function play(url, action, pid, turns) {
  const about = { episodes: 0, turns: 0, done: 0, refused: 0, rewards: 0 };
  let before;
  let milliseconds = 0;
  while (about.episodes < Number(count)) {
    const session = await openSession(url, 60_000);
    for (let i = 0; i < 10; i++) {
      const began = performance.now();
      let { observation, done } = await session.reset({ seed: about.episodes });
      for (let turn = 0; turn < turns && !done; turn++) {
        try {
          const result = await session.step(action(observation));
          ({ observation, done } = result);
          if (result.reward !== null) about.rewards++;
        } catch (error) {
          if (!session.isOpen) throw error;
          about.refused++;
          about.reason ??= error.message.slice(0, 200);
          break;
        } finally {
          about.turns++;
        }
      }
      await session.state();
      about.episodes++;
      about.done += Number(done);
      milliseconds += performance.now() - began;
    }
    await session.close();
    await sleep(100);
    // What is loaded lazily is loaded by now.
    if (about.episodes === 20) before = left(pid);
  }
  await sleep(500);
  return { ...about, msPerEpisode: Math.round(milliseconds / about.episodes), before, after: left(pid) };
}

/** What the two processes hold: their open sockets, the server's children, and megabytes. */
function left(pid) {
  globalThis.gc?.();
  const sockets = (of) =>
    readdirSync(`/proc/${of}/fd`).filter((fd) => {
      try {
        return execFileSync("readlink", [`/proc/${of}/fd/${fd}`], { encoding: "utf8" }).startsWith("socket");
      } catch {
        return false;
      }
    }).length;
  const kept = (of) =>
    Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${of}/status`, "utf8"))[1]) / 1024);
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(/\s+/)
    .filter(Boolean);
  const threads = readdirSync(`/proc/${pid}/task`).length;
  return {
    client: { sockets: sockets(process.pid), MB: kept(process.pid) },
    server: { sockets: sockets(pid), MB: kept(pid), children: children.length, threads },
  };
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  return port;
}

async function ready(port, server) {
  for (let i = 0; i < 600; i++) {
    if (server.exitCode !== null) throw new Error(`it ended with status ${server.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(200);
  }
  throw new Error("it does not answer");
}
