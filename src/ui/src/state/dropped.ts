// What a person dropped or picked, folders walked to their last file, each under its path in the folder.

export interface Dropped {
  file: File;
  name: string;
}

/** The files of a drop. Must be called within the event: the browser forgets the entries after it. */
export async function filesOf(transfer: DataTransfer): Promise<Dropped[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (entries.every((entry) => entry === null)) return plain.map((file) => ({ file, name: file.name }));
  const out: Dropped[] = [];
  for (const entry of entries) {
    if (entry) await walk(entry, out);
  }
  return out;
}

/** The files of a picker, which tells the folder in `webkitRelativePath`. */
export function filesPicked(list: FileList | null): Dropped[] {
  return [...(list ?? [])].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
}

async function walk(entry: FileSystemEntry, out: Dropped[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    out.push({ file, name: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  // A folder is told in portions; an empty portion is its end.
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (portion.length === 0) return;
    for (const child of portion) await walk(child, out);
  }
}
