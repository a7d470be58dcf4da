// Runs a test binary built for wasm32-wasip1, the filter's own target, under node: cargo's runner
// for that target.
//
//   node tests/wasi-runner.mjs some_test.wasm [arguments of the test harness]

import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [module, ...rest] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [module, ...rest], env: { RUST_BACKTRACE: "0" }, returnOnExit: true });
const { instance } = await WebAssembly.instantiate(await readFile(module), wasi.getImportObject());
process.exitCode = wasi.start(instance);
