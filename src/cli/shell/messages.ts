/** What the two halves of `userloop shell` say to each other: the one that was called, and the one inside of the namespace. */

/** The argument of the program inside, as JSON. */
export interface ShellRequest {
  /** `make`: a new namespace that is to be furnished. `enter`: that of another shell. */
  readonly mode: 'make' | 'enter';
  /** The folder of the shells, in the registry of the user. */
  readonly shellsFolder: string;
  /** The shell that is entered; 0 for a new one. */
  readonly shell: number;
  readonly userNamespace: boolean;
  /** Empty: the user's own shell. */
  readonly command: readonly string[];
  /** The user's own shell. */
  readonly loginShell: string;
  readonly keep: boolean;
  /** Where it was called; '' where that is gone. */
  readonly cwd: string;
}

/** Sent by the one inside over descriptor 3, one a line. */
export type ShellMessage =
  /** The namespace is as it should be; what runs in it can be told by this. */
  | {
      readonly kind: 'ready';
      readonly mountNamespace: string;
      /** It cleans up in the end; false for one more in a shell that runs. */
      readonly owner: boolean;
    }
  /** It could not be furnished. `forbidden`: the system did not let us. */
  | { readonly kind: 'failed'; readonly reason: string; readonly forbidden: boolean };

/** The descriptor of the line between the two. It ends when the other one does. */
export const LINE_DESCRIPTOR = 3;
