import { formatIso } from './times.ts';
import type { Attributes, FileSystem, NodeId } from '../../filesystem/file-system.ts';
import { formatOctal } from './permissions.ts';

/** One file as plain data, for `--json`: the same members wherever a file is reported. */
export interface FileReport {
  readonly name: string;
  readonly path: string;
  readonly type: Attributes['kind'];
  readonly inode: number;
  /** Octal, as text. */
  readonly mode: string;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly allocated: number;
  readonly modified: string;
  readonly accessed: string;
  readonly changed: string;
  readonly born?: string;
  readonly target?: string;
  readonly major?: number;
  readonly minor?: number;
  /** FAT's read-only (1), hidden (2), system (4) and archive (32) bits. */
  readonly dosAttributes?: number;
}

export function reportFile(fileSystem: FileSystem, node: NodeId, name: string, path: string): FileReport {
  const attributes = fileSystem.attributes(node);
  return {
    name,
    path,
    type: attributes.kind,
    inode: node,
    mode: formatOctal(attributes.mode),
    links: attributes.linkCount,
    uid: attributes.uid,
    gid: attributes.gid,
    size: attributes.size,
    allocated: attributes.allocated,
    modified: formatIso(attributes.mtime),
    accessed: formatIso(attributes.atime),
    changed: formatIso(attributes.ctime),
    ...(attributes.birthtime === undefined ? {} : { born: formatIso(attributes.birthtime) }),
    ...(attributes.kind === 'symlink' ? { target: fileSystem.readLink(node) } : {}),
    ...(attributes.device === undefined ? {} : attributes.device),
    ...(fileSystem.capabilities.dosAttributes ? { dosAttributes: attributes.dosAttributes } : {}),
  };
}
