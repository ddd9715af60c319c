// Vitest loads this anew for each file, the modules that it names once for all of them (`isolate: false`).
import './equal-bytes.ts';
