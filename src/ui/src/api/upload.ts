// Sends one file with its true progress, which `fetch` cannot tell.
import { CSRF_HEADER, key, noticeLoss } from "./client";
import { Fault, faultFrom } from "./fault";
import type { UploadAnswer, UploadItem } from "./shapes";

/** A file on its way; `stop` takes it back. */
export interface Sending {
  done: Promise<UploadItem>;
  stop: () => void;
}

/** Sends `file` under `name`; `progress` is told the part sent, from 0 to 1. */
export function send(file: File, name: string, collection: string, progress: (part: number) => void): Sending {
  const request = new XMLHttpRequest();
  const done = new Promise<UploadItem>((resolve, reject) => {
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) progress(event.loaded / event.total);
    };
    request.onerror = () => reject(new Fault("unreachable", ""));
    request.onabort = () => reject(new Fault("stopped", ""));
    request.onload = () => {
      let body: unknown = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // Told below as an answer that cannot be read.
      }
      const item = (body as UploadAnswer | null)?.items?.[0];
      if (request.status >= 200 && request.status < 300 && item) resolve(item);
      else reject(noticeLoss(faultFrom(request.status, (header) => request.getResponseHeader(header), body)));
    };
    const form = new FormData();
    // Fields go before files: the box reads the form as it streams in.
    if (collection) form.append("collection", collection);
    if (file.lastModified > 0) form.append("modified", new Date(file.lastModified).toISOString());
    form.append("file", file, name);
    request.open("POST", "/rag/documents");
    if (key.csrf) request.setRequestHeader(CSRF_HEADER, key.csrf);
    request.send(form);
  });
  return { done, stop: () => request.abort() };
}
