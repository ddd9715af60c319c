/** The help texts of the menus (`m`), in the tool's words. */

import type { Label } from './disk.ts';

export interface MenuState {
  readonly label: Label['kind'] | undefined;
  readonly expert: boolean;
  /** The kind of the table that this one is in. */
  readonly outer: Label['kind'] | undefined;
}

type Section = readonly [title: string, entries: readonly (readonly [key: string, text: string] | 'gap')[]];

const GENERIC: Section = [
  'Generic',
  [
    ['d', 'delete a partition'],
    ['F', 'list free unpartitioned space'],
    ['l', 'list known partition types'],
    ['n', 'add a new partition'],
    ['p', 'print the partition table'],
    ['t', 'change a partition type'],
    ['v', 'verify the partition table'],
    ['i', 'print information about a partition'],
  ],
];

const EXPERT_GENERIC: Section = [
  'Generic',
  [
    ['p', 'print the partition table'],
    ['v', 'verify the partition table'],
    ['d', 'print the raw data of the first sector from the device'],
    ['D', 'print the raw data of the disklabel from the device'],
    ['f', 'fix partitions order'],
    ['m', 'print this menu'],
  ],
];

const GEOMETRY: Section = [
  'Geometry (for the current label)',
  [
    ['c', 'change number of cylinders'],
    ['h', 'change number of heads'],
    ['s', 'change number of sectors/track'],
  ],
];

const SCRIPT: Section = [
  'Script',
  [
    ['I', 'load disk layout from sfdisk script file'],
    ['O', 'dump disk layout to sfdisk script file'],
  ],
];

const CREATE: Section = [
  'Create a new label',
  [
    ['g', 'create a new empty GPT partition table'],
    ['G', 'create a new empty SGI (IRIX) partition table'],
    ['o', 'create a new empty MBR (DOS) partition table'],
    ['s', 'create a new empty Sun partition table'],
  ],
];

const DOS: Section = [
  'DOS (MBR)',
  [
    ['a', 'toggle a bootable flag'],
    ['b', 'edit nested BSD disklabel'],
    ['c', 'toggle the dos compatibility flag'],
  ],
];

const DOS_EXPERT: Section = [
  'DOS (MBR)',
  [
    ['b', 'move beginning of data in a partition'],
    ['F', 'fix partitions C/H/S values'],
    ['i', 'change the disk identifier'],
  ],
];

const GPT: Section = ['GPT', [['M', 'enter protective/hybrid MBR']]];

const GPT_EXPERT: Section = [
  'GPT',
  [
    ['i', 'change disk GUID'],
    ['n', 'change partition name'],
    ['u', 'change partition UUID'],
    ['l', 'change table length'],
    ['M', 'enter protective/hybrid MBR'],
    'gap',
    ['A', 'toggle the legacy BIOS bootable flag'],
    ['B', 'toggle the no block IO protocol flag'],
    ['R', 'toggle the required partition flag'],
    ['S', 'toggle the GUID specific bits'],
  ],
];

const BSD: Section = [
  'BSD',
  [
    ['e', 'edit drive data'],
    ['i', 'install bootstrap'],
    ['s', 'show complete disklabel'],
    ['x', 'link BSD partition to non-BSD partition'],
  ],
];

function bsdSections(outer: MenuState['outer']): Section[] {
  const back: [string, string][] = outer === 'dos' ? [['r', 'return from BSD to DOS (MBR)']] : [];
  return [
    BSD,
    ['Generic', GENERIC[1].filter((entry) => entry[0] !== 'v')],
    [
      'Misc',
      [
        ['m', 'print this menu'],
        ['u', 'change display/entry units'],
      ],
    ],
    SCRIPT,
    ['Save & Exit', [['w', 'write table to disk'], ['q', 'quit without saving changes'], ...back]],
  ];
}

function sections({ label, expert, outer }: MenuState): Section[] {
  if (label === 'bsd') return bsdSections(outer);
  const nested = outer !== undefined;
  const save: [string, string][] = expert
    ? [
        ['q', 'quit without saving changes'],
        ['r', 'return to main menu'],
      ]
    : [
        ['w', 'write table to disk and exit'],
        ['q', 'quit without saving changes'],
      ];
  if (nested && !expert) save.push(['r', 'return from protective/hybrid MBR to GPT']);
  if (expert) {
    return [
      ...(label === 'dos' ? [DOS_EXPERT] : label === 'gpt' ? [GPT_EXPERT] : []),
      ...(label === 'gpt' ? [] : [GEOMETRY]),
      EXPERT_GENERIC,
      ['Save & Exit', save],
    ];
  }
  const misc: [string, string][] = [['m', 'print this menu']];
  if (label !== 'gpt') misc.push(['u', 'change display/entry units']);
  misc.push(['x', 'extra functionality (experts only)']);
  return [
    ...(label === 'dos' ? [DOS] : label === 'gpt' ? [GPT] : []),
    GENERIC,
    ['Misc', misc],
    SCRIPT,
    ['Save & Exit', save],
    ...(nested ? [] : [CREATE]),
  ];
}

/** What `m` prints. */
export function menuText(state: MenuState): string {
  let text = state.expert ? '\nHelp (expert commands):\n' : '\nHelp:\n';
  for (const [title, entries] of sections(state)) {
    text += `\n  ${title}\n`;
    for (const entry of entries) text += entry === 'gap' ? '\n' : `   ${entry[0]}   ${entry[1]}\n`;
  }
  return `${text}\n`;
}

/** Is this a command of the menu? */
export function isCommand(state: MenuState, key: string): boolean {
  // Not in the list, and the way back all the same.
  if (state.outer === 'gpt' && key === 'M') return true;
  return sections(state).some(([, entries]) => entries.some((entry) => entry !== 'gap' && entry[0] === key));
}

/** What the menus offer and we do not have, by the menu's letter. */
export const UNSUPPORTED_COMMANDS: Readonly<Record<string, string>> = {
  G: 'SGI (IRIX) partition tables',
  s: 'Sun partition tables',
};
