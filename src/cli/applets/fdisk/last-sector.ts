import { parseClassicSize } from '../partition-script/size.ts';

/**
 * An answer to "Last sector, +/-sectors or +/-size{K,M,G,T,P}": a sector, `+` sectors or size from `base`, or `-` sectors or
 * size from `high`. `unitSize` is bytes a sector. Undefined when it cannot be understood.
 */
export function parseLastSector(
  answer: string,
  base: number,
  high: number,
  unitSize: number,
): { sector: number; fromSize: boolean } | undefined {
  const sign = answer[0] === '+' || answer[0] === '-' ? answer[0] : '';
  const size = parseClassicSize(answer.slice(sign.length));
  if (size === undefined) return undefined;
  if (sign === '') return { sector: size.value, fromSize: false };
  const sectors = size.suffixed ? Math.round(size.value / unitSize) : size.value;
  const sector = sign === '+' ? base + sectors : high - sectors;
  return { sector, fromSize: size.suffixed };
}
