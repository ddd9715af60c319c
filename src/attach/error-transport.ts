import {
  CorruptImageError,
  type ErrnoCode,
  FsError,
  type FsErrorDetails,
  UnsupportedError,
  UsageError,
} from '../errors.ts';
import { DeviceBusyError, type Holder } from './device-state.ts';

/** An error on its way from the process behind a device to the command that asked: plain data. */
export interface ErrorMessage {
  readonly name: string;
  readonly message: string;
  readonly [key: string]: unknown;
}

/** What is carried besides name and message. */
const MEMBERS = [
  'code',
  'errno',
  'syscall',
  'path',
  'dest',
  'detail',
  'features',
  'exitStatus',
  'holders',
  'structure',
  'field',
  'offset',
  'found',
  'expected',
] as const;

export function encodeError(error: unknown): ErrorMessage {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const members: Record<string, unknown> = {};
  for (const key of MEMBERS) {
    const value = (error as unknown as Record<string, unknown>)[key];
    if (value !== undefined) members[key] = value;
  }
  return { ...members, name: error.name, message: error.message };
}

/** An error of the same class, with the same members; one of our own errors stays one. */
export function decodeError(message: ErrorMessage): Error {
  const members = message as unknown as {
    readonly code: ErrnoCode;
    readonly features?: readonly string[];
    readonly exitStatus?: number;
    readonly holders?: readonly Holder[];
  };
  switch (message.name) {
    case 'FsError':
      return new FsError(members.code, message as FsErrorDetails);
    case 'UnsupportedError':
      return new UnsupportedError(message.message, members.features);
    case 'UsageError':
      return new UsageError(message.message, members.exitStatus);
    case 'DeviceBusyError':
      return new DeviceBusyError(message.message, members.holders ?? []);
    case 'CorruptImageError':
      return new CorruptImageError(message as unknown as ConstructorParameters<typeof CorruptImageError>[0]);
    default: {
      const { name: _name, message: text, ...rest } = message;
      return Object.assign(new Error(text), rest);
    }
  }
}
