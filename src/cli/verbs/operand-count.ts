import { UsageError } from '../../errors.ts';

/** UsageError unless there are that many operands. */
export function checkOperands(operands: readonly string[], least: number, most = Infinity): void {
  if (operands.length < least)
    throw new UsageError(
      operands.length === 0 ? 'missing operand' : `missing operand after "${operands.at(-1)!}"`,
    );
  if (operands.length > most) throw new UsageError(`extra operand "${operands[most]!}"`);
}
