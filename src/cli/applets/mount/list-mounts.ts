import { readMountTable } from '../../../host/mount-table.ts';
import { listDevices } from '../../../attach/registry.ts';
import type { MountContext } from './context.ts';
import { formatClassicLine } from './mount-list.ts';
import { readVolume } from './tagged-source.ts';
import { mountMatchesTypeList } from './type-list.ts';

/** Everything that is mounted, as `mount` without operands prints it. */
export function listMounts(
  context: MountContext,
  options: { readonly types: string | undefined; readonly labels: boolean },
): void {
  const images = autoclearImages(context);
  for (const entry of readMountTable()) {
    if (options.types !== undefined && !mountMatchesTypeList(entry.type, options.types)) continue;
    const label =
      options.labels && entry.source.startsWith('/') ? readVolume(context, entry.source)?.label : '';
    context.io.stdout.write(formatClassicLine(entry, images.get(entry.source) ?? entry.source, label ?? ''));
  }
}

/** Devices that were made for a mount: who mounted the image knows it by the image's name. */
function autoclearImages(context: MountContext): Map<string, string> {
  const states = [...listDevices(context.io.env), ...context.backend.list()];
  const images = new Map<string, string>();
  for (const { autoclear, image, mounts, backend } of states) {
    if (!autoclear || image === '' || image.startsWith('/dev/')) continue;
    for (const { source } of mounts) if (backend === 'kernel' || source !== image) images.set(source, image);
  }
  return images;
}
