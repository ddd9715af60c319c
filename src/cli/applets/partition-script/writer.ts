import { DEFAULT_ENTRY_COUNT } from '../../../partition/gpt-editor.ts';
import { formatGptAttributes } from '../../../partition/gpt-attributes.ts';
import type { Disk } from '../fdisk/disk.ts';
import { diskIdentifier, partitionName, usedPartitions } from '../fdisk/listing.ts';

/** Bytes: what partitions are aligned to where nothing is said of it. */
const USUAL_GRAIN = 1 << 20;

/** What a dump says of a table: headers, and the fields of each partition, by their names in a script and in JSON. */
interface Dump {
  readonly headers: readonly DumpField[];
  readonly partitions: readonly { readonly node: string; readonly fields: readonly DumpField[] }[];
}

interface DumpField {
  readonly script: string;
  readonly json: string;
  readonly value: string | number | true;
}

function field(script: string, value: DumpField['value'], json = script.replaceAll('-', '')): DumpField {
  return { script, json, value };
}

function dump(disk: Disk): Dump {
  const { label, name, sectorSize, layout } = disk;
  const grain = layout.grain * sectorSize;
  const gpt = disk.gpt;
  const headers = [
    field('label', label?.kind ?? 'dos'),
    // A BSD disklabel has none.
    ...(label?.kind === 'bsd' ? [] : [field('label-id', diskIdentifier(disk), 'id')]),
    field('device', name),
    field('unit', 'sectors'),
  ];
  if (gpt !== undefined) {
    headers.push(field('first-lba', gpt.firstUsable), field('last-lba', gpt.lastUsable));
    if (gpt.entryCount !== DEFAULT_ENTRY_COUNT)
      headers.push(field('table-length', String(gpt.entryCount), 'table-length'));
  }
  if (grain !== USUAL_GRAIN) headers.push(field('grain', String(grain)));
  headers.push(field('sector-size', sectorSize));
  return {
    headers,
    partitions: usedPartitions(disk).map((partition) => {
      const fields = [field('start', partition.startSector), field('size', partition.sectorCount)];
      if ('entry' in partition) {
        fields.push(field('type', partition.entry.type.toString(16)));
        if (partition.entry.bootIndicator === 0x80) fields.push(field('bootable', true));
      } else if (!('uuid' in partition)) {
        fields.push(field('type', partition.type.toString(16)));
      } else {
        fields.push(field('type', partition.type), field('uuid', partition.uuid));
        if (partition.name !== '') fields.push(field('name', partition.name));
        const attributes = formatGptAttributes(partition.attributes);
        if (attributes !== '') fields.push(field('attrs', attributes));
      }
      return { node: partitionName(name, partition.index + 1), fields };
    }),
  };
}

/** The table as a script that makes it again: what `sfdisk -d` and fdisk's `O` write. */
export function dumpScript(disk: Disk): string {
  const { headers, partitions } = dump(disk);
  let text = headers.map(({ script, value }) => `${script}: ${value}\n`).join('');
  if (partitions.length > 0) text += '\n';
  for (const { node, fields } of partitions) text += `${node} : ${fields.map(scriptField).join(', ')}\n`;
  return text;
}

function scriptField({ script, value }: DumpField): string {
  if (value === true) return script;
  if (typeof value === 'number') return `${script}=${String(value).padStart(12)}`;
  return script === 'name' || script === 'attrs' ? `${script}="${escapeName(value)}"` : `${script}=${value}`;
}

/** What is not plain ASCII, and what a shell would understand, by the numbers of its bytes. */
function escapeName(name: string): string {
  let text = '';
  for (const byte of new TextEncoder().encode(name)) {
    const plain = byte >= 0x20 && byte < 0x7f && !'"\\`$'.includes(String.fromCharCode(byte));
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** The table as JSON: what `sfdisk -J` writes. */
export function dumpJson(disk: Disk): string {
  const { headers, partitions } = dump(disk);
  const lines = headers.map(jsonField);
  let text = `{\n   "partitiontable": {\n${lines.map((line) => `      ${line}`).join(',\n')}`;
  if (partitions.length > 0) {
    const objects = partitions.map(({ node, fields }) => {
      const members = [`"node": ${jsonText(node)}`, ...fields.map(jsonField)];
      return `{\n${members.map((member) => `            ${member}`).join(',\n')}\n         }`;
    });
    text += `,\n      "partitions": [\n         ${objects.join(',')}\n      ]`;
  }
  return `${text}\n   }\n}\n`;
}

function jsonField({ json, value }: DumpField): string {
  return `"${json}": ${typeof value === 'string' ? jsonText(value) : String(value)}`;
}

/** Only what JSON must escape. */
function jsonText(text: string): string {
  return JSON.stringify(text);
}
