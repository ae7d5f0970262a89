// A supervisor as shares.c is: its event loop waits, it waits for another thread, and it computes. The zombie
// is there when it starts.
const places = [
  () => new Promise((resolve) => setTimeout(resolve, 17)),
  () => Atomics.wait(lock, 0, 0, 11),
  () => {
    const end = process.hrtime.bigint() + 7_000_000n;
    while (process.hrtime.bigint() < end) for (let i = 0; i < 2000; i++) sink += i;
  },
];
const lock = new Int32Array(new SharedArrayBuffer(4));
let sink = 0;
const spent = [0n, 0n, 0n];
const end = process.hrtime.bigint() + BigInt(Math.round(Number(process.argv[2]) * 1e9));
let now = process.hrtime.bigint();
while (now < end) {
  for (let place = 0; place < 3; place++) {
    const result = places[place]();
    if (result instanceof Promise) await result;
    const then = process.hrtime.bigint();
    spent[place] += then - now;
    now = then;
  }
}
console.log("spent", spent.join(" "), String(spent[2]));
