/** The library for Node: everything of `userloop/core`, with files as devices, the machine's clock, Buffers and streams. */
export * from './core.ts';
export { FileDevice, type FileDeviceOptions } from './host/file-device.ts';
export { type OpenImageOptions, openImage } from './host/open-image.ts';
export {
  type CreateImageOptions,
  type Format,
  type FormatDeviceOptions,
  createImage,
  formatDevice,
} from './host/create-image.ts';
export { type NodeFs, nodeFs } from './host/node-fs.ts';
export { systemClock, systemRandom } from './host/system.ts';
export { VERSION } from './cli/version.ts';
