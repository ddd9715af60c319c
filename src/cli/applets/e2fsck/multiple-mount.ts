import type { BlockDevice } from '../../../device/block-device.ts';
import { isOwnError } from '../../../errors.ts';
import { MultipleMountProtection, type MultipleMountState } from '../../../filesystem/ext/multiple-mount.ts';
import { clockFromEnvironment } from '../../../host/system.ts';
import { volumeUse } from '../../idle-volume.ts';
import type { Io } from '../../io.ts';
import { calendarTime } from '../tune2fs/calendar.ts';

/** Why a volume is not checked. */
export type Refusal = 'in use' | 'active';

/**
 * Says in the tool's words that somebody else writes to the volume, and returns how; undefined where it can be checked. Whoever may have it mounted is waited for, unless
 * nothing is to be written: then only a program that mends it stands in the way. A block that is damaged itself is no reason.
 */
export function refuseHeld(
  io: Io,
  device: BlockDevice,
  options: {
    readonly calledAs: string;
    readonly target: string;
    /** As the tool calls the volume: by its label. */
    readonly name: string;
    readonly isReadOnly: boolean;
  },
): Refusal | undefined {
  const { calledAs, target, name, isReadOnly } = options;
  const protection = protectionOf(device);
  if (protection === undefined) return undefined;
  const { state } = protection;
  if (state.kind === 'program' || state.kind === 'unknown') {
    const what = state.kind === 'program' ? 'e2fsck being run' : 'undergoing an unknown operation';
    io.stderr.write(`${calledAs}: MMP: ${what} while checking MMP block\n`);
    io.stdout.write(textOf(state, name));
    return 'in use';
  }
  if (state.kind === 'free' || isReadOnly) return undefined;
  if (protection.block.holder(volumeUse(io, calledAs, target)) === undefined) {
    // He is gone: what he left in the journal is replayed as on any other volume.
    protection.block.clear(clockFromEnvironment(io.env)().seconds);
    return undefined;
  }
  io.stderr.write(`${calledAs}: MMP: device currently active while trying to open ${target}\n`);
  return 'active';
}

function protectionOf(
  device: BlockDevice,
): { readonly block: MultipleMountProtection; readonly state: MultipleMountState } | undefined {
  try {
    const block = MultipleMountProtection.of(device);
    return block && { block, state: block.state() };
  } catch (error) {
    if (isOwnError(error)) return undefined;
    throw error;
  }
}

function textOf({ sequence, time, node, device, interval }: MultipleMountState, name: string): string {
  return (
    'MMP check failed: If you are sure the filesystem is not in use on any node, run:\n' +
    `'tune2fs -f -E clear_mmp ${name}'\n` +
    'MMP_block:\n' +
    '    mmp_magic: 0x4d4d50\n' +
    `    mmp_check_interval: ${interval}\n` +
    `    mmp_sequence: ${sequence.toString(16).padStart(8, '0')}\n` +
    `    mmp_update_date: ${calendarTime(time).trimEnd()}\n` +
    `    mmp_update_time: ${time}\n` +
    `    mmp_node_name: ${node}\n` +
    `    mmp_device_name: ${device}\n`
  );
}
