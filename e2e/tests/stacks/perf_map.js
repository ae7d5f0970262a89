// A supervisor that leaves a zombie, and spends its time in two places. It prints how long, in ns, and how
// much of the last is CPU time.
"use strict";

const { spawn } = require("node:child_process");

const cell = new Int32Array(new SharedArrayBuffer(4));
const spent = [0n, 0n];
let used = 0;
let sink = 0;

function writeJournal(milliseconds) {
  Atomics.wait(cell, 0, 0, milliseconds);
}

function compute(milliseconds) {
  const start = process.cpuUsage();
  for (;;) {
    for (let i = 0; i < 200000; i++) {
      sink += i % 7;
    }
    const { user, system } = process.cpuUsage(start);
    if (user + system >= milliseconds * 1000) {
      used += (user + system) * 1000;
      return;
    }
  }
}

function runJob() {
  const start = process.hrtime.bigint();
  writeJournal(17);
  const written = process.hrtime.bigint();
  compute(9);
  spent[0] += written - start;
  spent[1] += process.hrtime.bigint() - written;
}

function supervise(seconds) {
  spawn("/bin/true");
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    runJob();
  }
}

supervise(Number(process.argv[3]));
console.log("spent", String(spent[0]), "0", String(spent[1]), String(used));
