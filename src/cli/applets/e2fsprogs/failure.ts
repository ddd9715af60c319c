/** Ends the command with status 1. The message is printed as it is: the tool's own words, its prefix included. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly stream: 'stdout' | 'stderr';

  constructor(message: string, stream: 'stdout' | 'stderr' = 'stderr') {
    super(message);
    this.stream = stream;
  }
}
