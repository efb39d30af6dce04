// How much memory a model takes at a context: what the box measured, with another length of what it remembers.
import type { Memory } from "../../api/assistant";

/** Bytes at a context of so many tokens. */
export function memoryAt(memory: Memory, context: number): number {
  return memory.weights + memory.repacked + memory.work + memory.cache_per_token * context;
}
