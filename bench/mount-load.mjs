// One load in a directory, timed from within: `node mount-load.mjs DIRECTORY LOAD`. Prints microseconds an operation, or seconds.
import fs from 'node:fs';

const [directory, load] = process.argv.slice(2);
const FILES = 5000;
const BIG = 256 << 20;
const many = `${directory}/many`;

function perFile(work) {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1000 / FILES;
}

function seconds(work) {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

const buffer = Buffer.alloc(1 << 20, 65);
const loads = {
  create: () => {
    fs.mkdirSync(many);
    return perFile(() => {
      for (let i = 0; i < FILES; i++) {
        const fd = fs.openSync(`${many}/file ${i}`, 'w');
        fs.writeSync(fd, buffer, 0, 100);
        fs.closeSync(fd);
      }
    });
  },
  stat: () =>
    perFile(() => {
      for (let i = 0; i < FILES; i++) fs.statSync(`${many}/file ${i}`);
    }),
  list: () =>
    perFile(() => {
      for (const name of fs.readdirSync(many)) fs.lstatSync(`${many}/${name}`);
    }),
  unlink: () => {
    const time = perFile(() => {
      for (let i = 0; i < FILES; i++) fs.unlinkSync(`${many}/file ${i}`);
    });
    fs.rmdirSync(many);
    return time;
  },
  write: () =>
    seconds(() => {
      const fd = fs.openSync(`${directory}/big`, 'w');
      for (let done = 0; done < BIG; done += buffer.length) fs.writeSync(fd, buffer);
      fs.closeSync(fd);
    }),
  read: () =>
    seconds(() => {
      const fd = fs.openSync(`${directory}/big`, 'r');
      while (fs.readSync(fd, buffer) > 0);
      fs.closeSync(fd);
    }),
};
console.log(loads[load]());
