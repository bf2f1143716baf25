// A measuring process for one of the node contenders: node peer.mjs NAME. It
// speaks the protocol of ../measure.go.
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { Worker } from "node:worker_threads";

const wrap = (source) =>
  `(async (text) => JSON.stringify(await (async (parameters) => {${source}\n})(JSON.parse(text))))`;

// Each contender prepares what lives long and returns a function that executes
// once: it gives the result's text and, where there is something to clean up, a
// function that does so. The latency is that of the result; the executions per
// second include the cleaning up.
const contenders = {
  async vm({ source, parameters }) {
    const script = new vm.Script(wrap(source));
    return async () => ({ text: await script.runInNewContext({})(parameters) });
  },

  async worker({ source, parameters }) {
    const code = `const { parentPort, workerData } = require("node:worker_threads");
      ${wrap(source)}(workerData).then((text) => parentPort.postMessage(text));`;
    return async () => {
      const worker = new Worker(code, { eval: true, workerData: parameters });
      const exit = new Promise((resolve) => worker.once("exit", resolve));
      const text = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      return { text, cleanUp: () => exit };
    };
  },

  async isolate({ source, parameters }) {
    const ivm = await load("isolated-vm");
    const code = wrap(source);
    const first = new ivm.Isolate();
    const script = first.compileScriptSync(code, { produceCachedData: true });
    const { cachedData } = script;
    first.dispose();
    return async () => {
      const isolate = new ivm.Isolate({ memoryLimit: 128 });
      const context = isolate.createContextSync();
      const run = isolate.compileScriptSync(code, { cachedData }).runSync(context, { reference: true });
      const text = await run.apply(undefined, [parameters], { result: { promise: true, copy: true } });
      return { text, cleanUp: () => isolate.dispose() };
    };
  },

  async context({ source, parameters }) {
    const ivm = await load("isolated-vm");
    const isolate = new ivm.Isolate({ memoryLimit: 128 });
    const script = isolate.compileScriptSync(wrap(source));
    return async () => {
      const context = isolate.createContextSync();
      const run = script.runSync(context, { reference: true });
      const text = await run.apply(undefined, [parameters], { result: { promise: true, copy: true } });
      return {
        text,
        cleanUp() {
          run.release();
          context.release();
        },
      };
    };
  },

  async quickjs({ source, parameters }) {
    const { getQuickJS } = await load("quickjs-emscripten");
    const quickjs = await getQuickJS();
    const code = wrap(source);
    return async () => {
      const runtime = quickjs.newRuntime();
      const context = runtime.newContext();
      const run = context.unwrapResult(context.evalCode(code));
      const argument = context.newString(parameters);
      const promise = context.unwrapResult(context.callFunction(run, context.undefined, argument));
      runtime.executePendingJobs();
      const state = context.getPromiseState(promise);
      if (state.type !== "fulfilled") throw new Error(`the promise is ${state.type}`);
      const text = context.getString(state.value);
      return {
        text,
        cleanUp() {
          for (const handle of [state.value, promise, argument, run, context, runtime]) handle.dispose();
        },
      };
    };
  },
};

class Missing extends Error {}

async function load(name) {
  try {
    const module = await import(name);
    return module.default ?? module;
  } catch (error) {
    throw new Missing(`${name}: ${error.message.split("\n")[0]}`);
  }
}

// measure executes for a time in nanoseconds, at least once, and verifies each result.
async function measure(execute, expected, time) {
  const samples = [];
  const start = process.hrtime.bigint();
  const end = start + BigInt(time);
  let now = start;
  do {
    const { text, cleanUp } = await execute();
    samples.push(Number(process.hrtime.bigint() - now));
    if (text !== expected) throw new Error(`the result is wrong: ${String(text).slice(0, 200)}`);
    if (cleanUp) await cleanUp();
    now = process.hrtime.bigint();
  } while (now < end);
  samples.sort((a, b) => a - b);
  return {
    p50: samples[Math.floor(samples.length / 2)],
    p99: samples[Math.floor(samples.length * 0.99)],
    perSecond: samples.length / (Number(now - start) / 1e9),
  };
}

// peakRSS is in bytes. (process.resourceUsage would include what ran before exec.)
function peakRSS() {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  } catch {
    return 0;
  }
}

try {
  const job = JSON.parse(readFileSync(0, "utf8"));
  const execute = await contenders[process.argv[2]](job);
  await measure(execute, job.expected, job.time);
  const result = await measure(execute, job.expected, job.time);
  console.log(JSON.stringify({ ...result, rss: peakRSS() }));
} catch (error) {
  if (!(error instanceof Missing)) throw error;
  console.log(JSON.stringify({ missing: error.message }));
}
