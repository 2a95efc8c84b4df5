import { execFile, spawn } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type Answer, createSandbox } from "./sandbox.ts";

const sandbox = createSandbox({ timeMs: 100, hangMs: 300 });
afterAll(() => sandbox.close());

/** The answers of one program to the inputs 3 and 4. */
async function answersOf(source: string): Promise<Answer[]> {
  return (await sandbox.run([{ source, inputs: [3, 4] }]))[0]!;
}

const ORDINARY = { source: "x=>3*x+1", inputs: [0, 5] };
const ORDINARY_ANSWERS = [{ value: 1 }, { value: 16 }];

describe("ordinary programs", () => {
  it("answers every input of every program, in order", async () => {
    const programs = Array.from({ length: 100 }, (_, i) => ({ source: `x=>x*${i}`, inputs: [2, 7, 9] }));
    expect(await sandbox.run(programs)).toEqual(
      programs.map((_, i) => [2, 7, 9].map((x) => ({ value: x * i }))),
    );
  });

  it("takes an empty batch, and a program without inputs", async () => {
    expect(await sandbox.run([])).toEqual([]);
    expect(await sandbox.run([{ source: "x=>x", inputs: [] }])).toEqual([[]]);
  });

  it("answers batches that are asked for at the same time", async () => {
    const batches = await Promise.all(
      [1, 2, 3].map((k) => sandbox.run([{ source: `x=>x+${k}`, inputs: [1] }, ORDINARY])),
    );
    expect(batches).toEqual([1, 2, 3].map((k) => [[{ value: 1 + k }], ORDINARY_ANSWERS]));
  });

  it("passes primitives on as they are", async () => {
    expect(await answersOf("x=>'a\\0b'+x")).toEqual([{ value: "a\0b3" }, { value: "a\0b4" }]);
    expect(await answersOf("x=>x==3?null:true")).toEqual([{ value: null }, { value: true }]);
    expect(await answersOf("x=>x==3?-0:NaN")).toEqual([{ value: -0 }, { value: NaN }]);
  });

  it("carries no state from one program to the next", async () => {
    await answersOf("globalThis.left=1;Array.prototype.map=0;Math.max=()=>42;x=>x");
    expect(await answersOf("x=>typeof left+typeof [].map+Math.max(x,0)")).toEqual([
      { value: "undefinedfunction3" },
      { value: "undefinedfunction4" },
    ]);
  });

  it("is deterministic: the clock stands still and random numbers repeat", async () => {
    const source = "x=>Date.now()+Math.random()";
    expect(await answersOf(source)).toEqual(await answersOf(`${source} `));
  });

  it("refuses to run after it was closed", async () => {
    const closed = createSandbox();
    await closed.run([ORDINARY]);
    await closed.close();
    await expect(closed.run([ORDINARY])).rejects.toThrow("closed");
  });
});

describe("the worker thread", () => {
  it("is not taken for hanging by a host that was busy for long", async () => {
    const batch = sandbox.run(Array.from({ length: 50 }, (_, i) => ({ source: `x=>x+${i}`, inputs: [1] })));
    await new Promise(setImmediate);
    const until = Date.now() + 1000;
    while (Date.now() < until);
    expect(await batch).toEqual(Array.from({ length: 50 }, (_, i) => [{ value: 1 + i }]));
  });

  it("is replaced when it crashes, at the expense of the program it was at", async () => {
    // A limit of the wrong type makes the thread itself throw; no program is known that does.
    const broken = createSandbox({ memoryBytes: 1n as never });
    const crashed = { error: expect.stringMatching(/^crashed the sandbox: .*BigInt/) };
    expect(await broken.run([ORDINARY, { ...ORDINARY, inputs: [7] }])).toEqual([
      [crashed, crashed],
      [crashed],
    ]);
    await broken.close();
  });

  it("ends a run that is under way when the sandbox is closed", async () => {
    const closing = createSandbox();
    await closing.run([ORDINARY]);
    const run = closing.run([{ source: "x=>{for(;;);}", inputs: [1] }]);
    await new Promise(setImmediate);
    await Promise.all([expect(run).rejects.toThrow("closed"), closing.close()]);
  });

  it("ends a first run, whose thread is still starting, when the sandbox is closed", async () => {
    const closing = createSandbox();
    const run = closing.run([ORDINARY]);
    await Promise.all([expect(run).rejects.toThrow("closed"), closing.close()]);
  });

  it("neither outlives nor keeps alive the process, and works from the built package", async () => {
    const script = `
      import { createSandbox } from ${JSON.stringify(new URL("../../dist/environment/sandbox.js", import.meta.url))};
      console.log(JSON.stringify(await createSandbox().run([{ source: "x=>x*2", inputs: [4] }])));`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    expect(stdout).toBe('[[{"value":8}]]\n');
  });
});

describe("programs that fail", () => {
  it("answers the inputs before and after one that fails", async () => {
    expect(await sandbox.run([{ source: "x=>x==1?y:x", inputs: [0, 1, 2] }])).toEqual([
      [{ value: 0 }, { error: expect.stringContaining("y is not defined") }, { value: 2 }],
    ]);
  });

  it("goes on with the rest of a batch after each of several programs that hang", async () => {
    const hang = (k: number) => ({ source: `x=>new Array(3e8+${k})+''`, inputs: [1] });
    const answers = await sandbox.run([ORDINARY, hang(1), ORDINARY, hang(2), { ...ORDINARY, inputs: [1] }]);
    expect([answers[0], answers[2], answers[4]]).toEqual([
      ORDINARY_ANSWERS,
      ORDINARY_ANSWERS,
      [{ value: 4 }],
    ]);
    expect([answers[1], answers[3]]).toEqual(
      Array(2).fill([{ error: "did not end within 300 ms", ranOut: true, killed: true }]),
    );
  }, 20_000);

  it("answers any text", async () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string().map((body) => `x=>${body}`),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 20 }), async (sources) => {
        const answers = await sandbox.run([
          ...sources.map((source) => ({ source, inputs: [1, 2] })),
          ORDINARY,
        ]);
        expect(answers.map((each) => each.length)).toEqual([...sources.map(() => 2), 2]);
        expect(answers.at(-1)).toEqual(ORDINARY_ANSWERS);
      }),
    );
  }, 20_000);
});

describe("what a program may use", () => {
  it("is the same for every input, in turns, so that answers do not depend on how busy the machine is", async () => {
    // A turn of a loop counts once or twice.
    const source = "x=>{let n=0;for(let i=0;i<x*1e4;i++)n++;return n}";
    const inputs = [2, 5, 9, 2, 8, 3, 100, 2];
    const [hasty, patient] = [
      createSandbox({ timeMs: 5000 }),
      createSandbox({ timeMs: 60_000, hangMs: 60_000 }),
    ];
    const [[answers], [others]] = [
      await hasty.run([{ source, inputs }]),
      await patient.run([{ source, inputs }]),
    ];
    await Promise.all([hasty.close(), patient.close()]);
    expect(others).toEqual(answers);
    // Together they use up more than one input may.
    expect(answers!.slice(0, 6)).toEqual(inputs.slice(0, 6).map((x) => ({ value: x * 1e4 })));
    expect(answers![6]).toEqual({ error: "exceeded 200000 turns", ranOut: true });
    expect(answers![7]).toMatchObject({ error: expect.stringMatching(/^not run/), ranOut: true });
  });

  it("is as many times as large as the calls that an answer takes", async () => {
    const source = "x=>{let n=0;for(let i=0;i<15e4;i++)n++;return n}";
    const program = { source, inputs: [1] };
    const wide = createSandbox({ timeMs: 60_000, hangMs: 60_000, turns: 100_000 });
    const [[once], [thrice]] = await wide.run([program, { ...program, calls: 3 }]);
    await wide.close();
    expect(once).toMatchObject({ ranOut: true });
    expect(thrice).toEqual({ value: 150_000 });
  });

  it("is said to be used up, for memory and stack too, and of nothing else", async () => {
    const spent = (program: Answer) => "ranOut" in program;
    for (const source of [
      "x=>{for(;;);}",
      "x=>{let a=[];for(;;)a.push(x,a)}",
      "x=>{let f=()=>f()+1;return f()}",
    ])
      expect((await answersOf(source)).map(spent)).toEqual([true, true]);
    for (const source of ["x=>y", "x=>({})", "x=>{throw 'out of memory'}", "x=>new Array(-1)"])
      expect((await answersOf(source)).map(spent)).toEqual([false, false]);
  });

  it("is processor time: a process that was stopped meanwhile gives the same answers", async () => {
    // Stopped in the middle of programs that use a sixth of what they may, once the engine's code is compiled well; for the first
    // of them all, while it is not, they take three times as long.
    const script = `
      import { createSandbox } from ${JSON.stringify(new URL("../../dist/environment/sandbox.js", import.meta.url))};
      const sandbox = createSandbox({ timeMs: 800, hangMs: 1000, turns: 1e9 });
      const source = "x=>{let n=0;for(let i=0;i<2e6;i++)n+=i%3;return n}";
      for (let i = 0; i < 4; i++) await sandbox.run([{ source, inputs: [i] }]);
      process.send("begun");
      const answers = await sandbox.run(Array.from({ length: 16 }, (_, i) => ({ source: source + " ".repeat(i + 1), inputs: [1] })));
      process.send({ answers });`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const stopFor = async (ms: number) => {
      child.kill("SIGSTOP");
      await setTimeout(ms);
      child.kill("SIGCONT");
    };
    const answers = await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("message", async (message: "begun" | { answers: Answer[][] }) => {
        if (message !== "begun") return resolve(message.answers);
        await setTimeout(60);
        await stopFor(1300);
        await setTimeout(150);
        await stopFor(1300);
      });
    });
    child.kill();
    expect(answers).toEqual(Array(16).fill([{ value: 1_999_999 }]));
  }, 30_000);
});

describe("interrupts that a program swallows", () => {
  const loops = {
    "a promise's executor": "new Promise(()=>{for(;;);})",
    "a subclass's executor": "new (class extends Promise{})(()=>{for(;;);})",
    "a resolver's": "Promise.withResolvers().resolve({get then(){for(;;);}})",
    "a thenable's getter": "Promise.resolve({get then(){for(;;);}})",
    "an iterable that loops": "Promise.all({[Symbol.iterator](){for(;;);}})",
    "an async function": "(async()=>{for(;;);})()",
    "an async generator": "(async function*(){for(;;);})().next()",
  };

  it.each(Object.entries(loops))("buy no answer: %s", async (_, loop) => {
    for (const source of [`x=>{${loop};return 3*x+1}`, `x=>{try{${loop}}catch{};return 3*x+1}`])
      for (const answer of await answersOf(source)) expect(answer).toMatchObject({ ranOut: true });
    expect((await sandbox.run([ORDINARY]))[0]).toEqual(ORDINARY_ANSWERS);
  });

  it("do not go on for ever: a loop around them is cut off in the machine", async () => {
    const answers = await answersOf("x=>{for(;;)new Promise(()=>{for(;;);})}");
    for (const answer of answers) expect(answer).toEqual(expect.not.objectContaining({ killed: true }));
    expect(answers[0]).toMatchObject({ ranOut: true });
    expect((await sandbox.run([ORDINARY]))[0]).toEqual(ORDINARY_ANSWERS);
  });
});
