/** @file How calls go: those that can be said together in one message, in their order, with the data that they were given. */

import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { floats } from "../types.ts";
import { Connection } from "./connection.ts";
import { type Message, MessageReader, messagePieces } from "./message.ts";

/** A connection, and what comes out at its other end, which answers nothing of itself. */
async function connected() {
  const path = join(await mkdtemp(join(tmpdir(), "probeward-connection-")), "socket");
  const server = createServer().listen(path);
  await once(server, "listening");
  const [[far], socket] = await Promise.all([
    once(server, "connection") as Promise<[Socket]>,
    new Promise<Socket>((resolve) => {
      const made = connect(path, () => resolve(made));
    }),
  ]);
  server.close();
  const messages: Message[] = [];
  const reader = new MessageReader((message) => messages.push(message));
  far.on("data", (chunk) => reader.push(chunk));
  const connection = new Connection(socket, 10_000, (error) => connection.end(error));
  const answer = (call: object) => {
    for (const piece of messagePieces(call, {})) far.write(piece);
  };
  const end = () => {
    connection.end(new Error("over"));
    far.destroy();
  };
  return { connection, messages, answer, end };
}

const put = (id: number) => ({ call: "put", id });

it("says together what is said at once, and the question behind it", async () => {
  const { connection, messages, answer, end } = await connected();
  const tensor = floats([2], Float32Array.of(1, 2));
  await connection.send(put(0), { tensor });
  // What was given may change at once.
  tensor.data[0] = 9;
  await connection.send(put(1), { tensor });
  await connection.send({ call: "run" });
  const asked = connection.ask({ call: "get" });
  await expect.poll(() => messages.length).toBe(1);
  const [{ call, tensors }] = messages as [Message];
  expect(call).toEqual({ calls: [put(0), put(1), { call: "run" }, { call: "get" }] });
  expect(Object.keys(tensors)).toEqual(["0.tensor", "1.tensor"]);
  expect([...tensors["0.tensor"]!.data]).toEqual([1, 2]);
  expect([...tensors["1.tensor"]!.data]).toEqual([9, 2]);
  answer({ found: 1 });
  expect((await asked).call).toEqual({ found: 1 });
  expect(connection.traffic).toMatchObject({ calls: 4, answered: 1, messages: 1 });
  end();
});

it("lets no more wait than a few calls, or a few numbers", async () => {
  const { connection, messages, end } = await connected();
  for (let id = 0; id < 70; id++) await connection.send(put(id));
  await expect.poll(() => messages.length).toBe(3);
  expect(messages.map(({ call }) => (call.calls as object[]).length)).toEqual([32, 32, 6]);
  // A call alone is as it is.
  await connection.send(put(70), { tensor: floats([8]) });
  await connection.send(put(71), { tensor: floats([2 ** 20]) });
  await connection.send(put(72));
  await expect.poll(() => messages.length).toBe(5);
  expect(messages.slice(3).map(({ call }) => call)).toEqual([{ calls: [put(70), put(71)] }, put(72)]);
  expect(messages[3]!.tensors["1.tensor"]!.data.length).toBe(2 ** 20);
  end();
});

it("fails what is called once it has ended, and sends nothing that waited", async () => {
  const { connection, messages, end } = await connected();
  const asked = connection.ask({ call: "get" });
  end();
  await expect(asked).rejects.toThrow("over");
  await expect(connection.send(put(0))).rejects.toThrow("over");
  expect(messages).toEqual([]);
});
